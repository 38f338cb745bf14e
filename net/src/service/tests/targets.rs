//! Edits of the addresses that a node joins by.

use super::super::SEEDS_MAX;
use super::{Mesh, client};
use crate::service::Client;
use crate::wire::proto;
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use tonic::{Code, Status};

/// An address that refuses connections.
fn address(number: usize) -> String {
    format!("127.1.{}.{}:1", number / 200, 1 + number % 200)
}

async fn edit(
    client: &mut Client,
    add: Vec<String>,
    forget: Vec<String>,
    replace: bool,
) -> Result<BTreeSet<String>, Status> {
    let request = proto::UpdateTargetsRequest {
        add,
        forget,
        replace,
        discovery: None,
    };
    let reply = client.calls().update_targets(request).await?.into_inner();
    Ok(reply
        .targets
        .into_iter()
        .map(|target| target.address)
        .collect())
}

#[tokio::test]
async fn concurrent_edits_of_the_targets_are_all_kept() {
    const CALLERS: usize = 32;
    let mesh = Mesh::new();
    let old = address(CALLERS);
    let (a, _) = mesh.start("a", vec![old.parse().unwrap()]).await;
    let admin = client(&a, &mesh.admin()).await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut admin = admin.clone();
        callers.spawn(async move {
            let edited = edit(&mut admin, vec![address(caller)], vec![], false).await;
            assert!(edited.unwrap().contains(&address(caller)));
        });
    }
    callers.join_all().await;
    let mut admin = admin.clone();
    let listed = edit(&mut admin, vec![], vec![old], false).await.unwrap();
    assert_eq!(listed, (0..CALLERS).map(address).collect());
    a.shutdown().await;
}

#[tokio::test]
async fn an_edit_that_cannot_be_made_is_refused_and_changes_nothing() {
    let mesh = Mesh::new();
    let (a, _) = mesh.start("a", vec![address(0).parse().unwrap()]).await;
    let mut admin = client(&a, &mesh.admin()).await;
    let many = |count: usize| (1..=count).map(address).collect::<Vec<_>>();
    let refused = [
        (many(1), many(1), false, Code::NotFound, "is not a target"),
        (
            many(SEEDS_MAX),
            vec![],
            false,
            Code::InvalidArgument,
            "add: 257 targets are too many",
        ),
        (
            many(SEEDS_MAX + 1),
            vec![],
            true,
            Code::InvalidArgument,
            "add: 257 targets are too many",
        ),
        (
            vec!["nowhere".to_owned()],
            vec![],
            false,
            Code::InvalidArgument,
            "add: \"nowhere\" has no port",
        ),
    ];
    for (add, forget, replace, code, words) in refused {
        let error = edit(&mut admin, add, forget, replace).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    let listed = edit(&mut admin, vec![], vec![], false).await.unwrap();
    assert_eq!(listed, [address(0)].into());
    let full = edit(&mut admin, many(SEEDS_MAX - 1), vec![], false).await;
    assert_eq!(full.unwrap().len(), SEEDS_MAX);
    let replaced = edit(&mut admin, many(2), vec![], true).await;
    assert_eq!(replaced.unwrap(), [address(1), address(2)].into());
    a.shutdown().await;
}
