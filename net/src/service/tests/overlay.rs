//! Tests of the status of overlays and data paths.

use super::{Mesh, client, until};
use crate::overlay::{DataPath, DataPathProvider, Offer, OverlayLink, Unprepared};
use crate::wire::proto;
use bytes::Bytes;
use phalanx_core::link::Address;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An overlay that works at once, or refuses to prepare.
struct Instant {
    works: bool,
}

struct Path(OverlayLink);

impl DataPathProvider for Instant {
    fn offer(&self) -> Offer {
        Offer::new("instant")
            .unwrap()
            .with("speed", "fast")
            .unwrap()
    }

    fn prepare(&self, link: OverlayLink) -> Result<Box<dyn DataPath>, Unprepared> {
        if !self.works {
            return Err(Unprepared::new("not today"));
        }
        Ok(Box::new(Path(link)))
    }

    fn diagnostics(&self) -> BTreeMap<String, String> {
        [("mood".to_owned(), "good".to_owned())].into()
    }
}

impl DataPath for Path {
    fn confirm(&self) {
        self.0.established();
    }

    fn control(&self, _: u8, _: Bytes) {}

    fn attributes(&self) -> BTreeMap<String, String> {
        [("lanes".to_owned(), "2".to_owned())].into()
    }

    fn stop(&self) {}
}

fn entry(key: &str, value: &str) -> proto::Entry {
    proto::Entry {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn the_status_links_and_events_show_data_paths() {
    let mesh = Mesh::new();
    for (works, state, reason, kind) in [
        (true, "established", "", "data-path-up"),
        (
            false,
            "failed",
            "at the other end: not today",
            "data-path-down",
        ),
    ] {
        let (a, _) = mesh
            .start_with("a", vec![], Some(Arc::new(Instant { works })))
            .await;
        let target = Address::Socket(a.address());
        let overlay = Arc::new(Instant { works: true });
        let (b, journal) = mesh.start_with("b", vec![target], Some(overlay)).await;
        let mut events = journal.watch();
        mesh.tasks.spawn(journal.follow(b.subscribe()));
        let admin = client(&b, &mesh.admin()).await;
        let path = until(|| {
            let mut admin = admin.clone();
            async move {
                let links = admin.calls().list_links(proto::ListLinksRequest {}).await;
                let [link] = &links.unwrap().into_inner().links[..] else {
                    return None;
                };
                link.data_path.clone().filter(|path| path.state == state)
            }
        })
        .await;
        assert_eq!((path.reason.as_str(), path.connection.len()), (reason, 16));
        assert_eq!(path.features, [entry("speed", "fast")]);
        let lanes = works.then(|| entry("lanes", "2"));
        assert_eq!(path.attributes, Vec::from_iter(lanes));
        let mut admin = admin.clone();
        let status = admin.calls().get_status(proto::GetStatusRequest {}).await;
        let status = status.unwrap().into_inner();
        assert_eq!(status.links[0].data_path, Some(path));
        let overlay = status.overlay.unwrap();
        assert_eq!(overlay.name, "instant");
        assert_eq!(overlay.features, [entry("speed", "fast")]);
        assert_eq!(overlay.diagnostics, [entry("mood", "good")]);
        let heard = async { while events.recv().await.unwrap().description.kind != kind {} };
        tokio::time::timeout(super::SOON, heard).await.unwrap();
        b.shutdown().await;
        a.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_without_an_overlay_reports_none() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![]).await;
    let mut admin = client(&a, &mesh.admin()).await;
    let status = admin.calls().get_status(proto::GetStatusRequest {}).await;
    assert_eq!(status.unwrap().into_inner().overlay, None);
    a.shutdown().await;
}
