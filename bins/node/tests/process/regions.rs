//! The registries of several regions: copies, routed writes, cuts, kills, and what each end of a link must prove.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::place::{Place, days, node};
use crate::registry::{OpenedWatch, create, environment, get, object, serving};
use crate::relay::Relay;
use phalanx_core::link::Address;
use phalanx_core::registry::environment::EnvironmentConfig;
use phalanx_net::clock;
use phalanx_net::identity::{self, ExtraNames, Identity, Source, ca_init, ca_issue};
use phalanx_net::registry::EnvRegistry;
use phalanx_net::registry::proto::{
    self, follow_reply::Reply as Followed, follow_request,
    registry_link_client::RegistryLinkClient, watch_change::Change, watch_objects_reply::Reply,
};
use phalanx_net::service::Client;
use phalanx_net::transport::{Call, Tcp};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

/// Issues the certificates of nodes, each for the registry of a region.
fn issue(place: &Place, nodes: &[(&str, &str)]) {
    let certificates = place.path("certs");
    if !certificates.exists() {
        ca_init(&certificates, "test", days(2)).unwrap();
    }
    for (id, region) in nodes {
        let names = ExtraNames {
            registry: Some(region.parse().unwrap()),
            ..ExtraNames::default()
        };
        ca_issue(&certificates, &node(id), &certificates, days(1), &names).unwrap();
    }
}

/// The command of a node with the registry of a region, whose primary region is `eu`.
fn command(place: &Place, id: &str, region: &str, targets: &[SocketAddr]) -> Command {
    let mut command = place.command(id);
    command.env("PHALANX_REGISTRY_REGION", region);
    command.env("PHALANX_REGISTRY_PRIMARY", "eu");
    for target in targets {
        command.args(["--target", &target.to_string()]);
    }
    command
}

/// A daemon with the registry of a region, and a client of it.
struct RegionDaemon {
    daemon: RunningDaemon,
    client: Client,
}

impl RegionDaemon {
    async fn start(place: &Place, command: Command) -> Self {
        let daemon = RunningDaemon::start(command);
        let mut client = place.ask(&daemon).await;
        serving(&mut client).await;
        Self { daemon, client }
    }

    async fn status(&mut self) -> proto::RegistryStatus {
        let request = proto::GetRegistryStatusRequest {};
        let status = self.client.objects().get_registry_status(request).await;
        status.unwrap().into_inner()
    }

    /// Waits until the status is as it should be.
    async fn status_when(
        &mut self,
        right: impl Fn(&proto::RegistryStatus) -> bool,
    ) -> proto::RegistryStatus {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.status().await;
            if right(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an object exists.
    async fn has(&mut self, name: &str) -> proto::Object {
        let deadline = Instant::now() + SOON;
        loop {
            match get(&mut self.client, name).await {
                Ok(object) => return object,
                Err(status) => assert!(Instant::now() < deadline, "{name}: {status}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Creates objects in one batch.
    async fn write(
        &mut self,
        objects: Vec<proto::Object>,
        copies: u32,
    ) -> Result<proto::ApplyBatchReply, tonic::Status> {
        let operations = objects.into_iter().map(|object| proto::WriteOperation {
            operation: Some(proto::write_operation::Operation::Create(object)),
        });
        let request = proto::ApplyBatchRequest {
            operations: operations.collect(),
            copies,
            ..proto::ApplyBatchRequest::default()
        };
        let reply = self.client.objects().apply_batch(request).await?;
        Ok(reply.into_inner())
    }
}

fn service(name: &str) -> proto::Object {
    object(&format!("services/{name}"), &[])
}

fn copy<'a>(status: &'a proto::RegistryStatus, region: &str) -> Option<&'a proto::RegionCopy> {
    status.copies.iter().find(|it| it.region == region)
}

fn is_linked(status: &proto::RegistryStatus, region: &str) -> bool {
    copy(status, region).is_some_and(|it| it.following && it.lag == 0)
}

/// Two regions in one place: `eu`, the primary one, and `us`.
async fn two_regions(place: &Place) -> [RegionDaemon; 2] {
    issue(place, &[("a", "eu"), ("b", "us")]);
    let eu = RegionDaemon::start(place, command(place, "a", "eu", &[])).await;
    let target = eu.daemon.address;
    let us = RegionDaemon::start(place, command(place, "b", "us", &[target])).await;
    [eu, us]
}

#[tokio::test]
async fn two_regions_copy_each_other_and_route_writes_to_the_owner() {
    let place = Place::new();
    let [mut eu, mut us] = two_regions(&place).await;
    let mut watch = OpenedWatch::open(&mut us.client, "services", "").await;
    let Reply::Snapshot(snapshot) = watch.news().await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(snapshot.objects, []);
    // The second region routes the write to the first, and reads it at once.
    let shop = create(&mut us.client, "1", service("shop")).await.unwrap();
    assert_eq!(shop.metadata.clone().unwrap().owning_region, "eu");
    assert_eq!(get(&mut us.client, "services/shop").await.unwrap(), shop);
    assert_eq!(get(&mut eu.client, "services/shop").await.unwrap(), shop);
    let Reply::Changes(changes) = watch.news().await else {
        panic!("the creation follows");
    };
    let token = changes.resume_token;
    // A refusal of the owner arrives as it is.
    let again = create(&mut us.client, "2", service("shop"))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists, "{again}");
    assert_eq!(
        again.get_details_error_info().unwrap().metadata["name"],
        "services/shop"
    );
    // A write that waits for a copy says that it is there.
    let written = eu.write(vec![service("mail")], 1).await.unwrap();
    assert_eq!(
        (written.copies_confirmed, written.region.as_str()),
        (1, "eu")
    );
    get(&mut us.client, "services/mail").await.unwrap();
    // A watch of one region is resumed at the other.
    drop(watch);
    let mut resumed = OpenedWatch::open(&mut eu.client, "services", &token).await;
    let Reply::Changes(changes) = resumed.news().await else {
        panic!("a watch that resumes gets no snapshot");
    };
    let Some(Change::Current(mail)) = changes.changes[0].change.clone() else {
        panic!("a creation");
    };
    assert_eq!(
        (changes.changes.len(), mail.name.as_str()),
        (1, "services/mail")
    );
    // Both say how they are linked.
    let status = us.status_when(|it| is_linked(it, "eu")).await;
    let copied = copy(&status, "eu").unwrap();
    assert_eq!((copied.node.as_str(), copied.obstacle.as_str()), ("a", ""));
    let status = eu.status_when(|it| is_linked(it, "us")).await;
    let follower = &status.followers[0];
    assert_eq!((follower.region.as_str(), follower.connected), ("us", true));
    let record = eu.has("regions/us").await;
    let uid = &record.body.unwrap().fields["uid"];
    assert_eq!(
        uid.kind,
        crate::registry::text(&us.status().await.store_uid).kind
    );
}

/// A region behind a relay, at which the others reach it.
struct RelayedRegion {
    relay: Relay,
    id: &'static str,
    region: &'static str,
    running: RegionDaemon,
}

impl RelayedRegion {
    fn command(
        place: &Place,
        id: &str,
        region: &str,
        relay: &Relay,
        target: &[SocketAddr],
    ) -> Command {
        let mut command = command(place, id, region, target);
        command.args(["--advertise", &relay.address.to_string()]);
        command
    }

    async fn start(
        place: &Place,
        (id, region): (&'static str, &'static str),
        target: &[SocketAddr],
    ) -> Self {
        let relay = Relay::new().await;
        let command = Self::command(place, id, region, &relay, target);
        let daemon = RunningDaemon::start(command);
        relay.relay_to(daemon.address);
        let mut client = place.ask(&daemon).await;
        serving(&mut client).await;
        Self {
            relay,
            id,
            region,
            running: RegionDaemon { daemon, client },
        }
    }

    /// Ends the process without a warning, and starts it again at the same relay.
    async fn kill_and_start(&mut self, place: &Place, target: &[SocketAddr]) {
        if self.running.daemon.runs() {
            self.running.daemon.signal(Signal::KILL);
        }
        self.running.daemon.waits_for_its_end();
        let command = Self::command(place, self.id, self.region, &self.relay, target);
        let daemon = RunningDaemon::start(command);
        self.relay.relay_to(daemon.address);
        let mut client = place.ask(&daemon).await;
        serving(&mut client).await;
        self.running = RegionDaemon { daemon, client };
    }
}

#[tokio::test]
async fn a_region_that_is_cut_off_reads_and_names_the_owner_of_what_it_cannot_write() {
    let place = Place::new();
    issue(&place, &[("a", "eu"), ("b", "us")]);
    let mut eu = RelayedRegion::start(&place, ("a", "eu"), &[]).await;
    let mut us = RelayedRegion::start(&place, ("b", "us"), &[eu.relay.address]).await;
    let policy = object("services/shop", &[]);
    create(&mut us.running.client, "", policy).await.unwrap();
    eu.running.status_when(|it| is_linked(it, "us")).await;
    // The cut: no connection in either direction.
    for side in [&eu, &us] {
        side.relay.cut();
    }
    let status = us
        .running
        .status_when(|it| !copy(it, "eu").is_some_and(|it| it.following))
        .await;
    assert!(status.serving, "{status:#?}");
    let refused = create(&mut us.running.client, "", service("late")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "REGION_UNREACHABLE");
    assert!(
        refused
            .message()
            .contains("services/late: region eu owns it and cannot be reached"),
        "{refused}"
    );
    get(&mut us.running.client, "services/shop").await.unwrap();
    create(&mut eu.running.client, "", service("mail"))
        .await
        .unwrap();
    let status = us
        .running
        .status_when(|it| copy(it, "eu").is_some_and(|it| !it.obstacle.is_empty()))
        .await;
    assert!(copy(&status, "eu").unwrap().age_ms.is_some(), "{status:#?}");
    // The heal: both ends converge, and writes are routed again.
    eu.relay.relay_to(eu.running.daemon.address);
    us.relay.relay_to(us.running.daemon.address);
    us.running.status_when(|it| is_linked(it, "eu")).await;
    us.running.has("services/mail").await;
    create(&mut us.running.client, "", service("late"))
        .await
        .unwrap();
    get(&mut eu.running.client, "services/late").await.unwrap();
    eu.running.status_when(|it| is_linked(it, "us")).await;
}

#[tokio::test]
async fn a_kill_of_either_side_loses_no_write_and_repeats_none() {
    let place = Place::new();
    issue(&place, &[("a", "eu"), ("b", "us")]);
    let mut eu = RelayedRegion::start(&place, ("a", "eu"), &[]).await;
    let at_eu = [eu.relay.address];
    let mut us = RelayedRegion::start(&place, ("b", "us"), &at_eu).await;
    let names: Vec<_> = (0..12).map(|index| format!("w{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        match index {
            4 => eu.running.daemon.signal(Signal::KILL),
            8 => us.kill_and_start(&place, &at_eu).await,
            _other => {}
        }
        // A write that has no outcome is sent again with its id.
        let deadline = Instant::now() + SOON;
        while let Err(status) = create(&mut us.running.client, name, service(name)).await {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            assert!(Instant::now() < deadline, "{name}: {status}");
            if !eu.running.daemon.runs() {
                eu.kill_and_start(&place, &[]).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for name in &names {
        let name = format!("services/{name}");
        let at_eu = eu.running.has(&name).await;
        assert_eq!(us.running.has(&name).await, at_eu);
        assert_eq!(at_eu.metadata.unwrap().generation, 1);
    }
    let head = eu.running.status().await.head;
    us.running
        .status_when(|it| copy(it, "eu").is_some_and(|it| it.revision == head))
        .await;
}

/// A connection to a daemon for calls between registries.
async fn link(
    identity: &Identity,
    daemon: &RunningDaemon,
) -> RegistryLinkClient<tonic::transport::Channel> {
    let address = Address::Socket(daemon.address);
    let call = Call::connect(&Tcp, identity, &address, SOON).await.unwrap();
    RegistryLinkClient::new(call.channel)
}

fn identity_of(place: &Place, id: &str) -> Identity {
    let source = Source::Directory(place.path("certs"));
    let opened = identity::open(&source, &node(id), clock::wall()).unwrap();
    opened.identity
}

fn open(region: &str, sequence: u64) -> proto::FollowRequest {
    let epoch = Some(proto::FeedEpoch::default());
    let position = proto::FeedPosition {
        epoch,
        sequence,
        ..proto::FeedPosition::default()
    };
    let open = proto::OpenFeed {
        region: region.to_owned(),
        epoch,
        position: (sequence > 0).then_some(position),
        window_bytes: u64::MAX,
        interval_ms: 1,
        ..proto::OpenFeed::default()
    };
    let request = Some(follow_request::Request::Open(open));
    proto::FollowRequest { request }
}

/// The status with which the stream of a follower ends that sends these requests.
async fn end_of(
    client: &mut RegistryLinkClient<tonic::transport::Channel>,
    requests: Vec<proto::FollowRequest>,
) -> tonic::Status {
    let (sender, receiver) = tokio::sync::mpsc::channel(requests.len().max(1));
    for request in requests {
        sender.send(request).await.unwrap();
    }
    let mut replies = match client.follow(ReceiverStream::new(receiver)).await {
        Ok(replies) => replies.into_inner(),
        Err(status) => return status,
    };
    loop {
        match replies.message().await {
            Ok(Some(reply)) => {
                if let Some(Followed::Refused(refused)) = reply.reply {
                    return tonic::Status::failed_precondition(refused.text);
                }
            }
            Ok(None) => panic!("the stream ends without a status"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_member_that_is_not_the_registry_of_a_region_learns_and_harms_nothing() {
    let place = Place::new();
    let [eu, mut us] = two_regions(&place).await;
    // A node with an ordinary certificate.
    let mut ordinary = link(&identity_of(&place, "c"), &eu.daemon).await;
    let end = end_of(&mut ordinary, vec![open("us", 0)]).await;
    assert_eq!(end.code(), Code::PermissionDenied);
    assert!(
        end.message().contains("issue it with --registry REGION"),
        "{end}"
    );
    let route = |region: &str| proto::RouteRequest {
        region: region.to_owned(),
        caller: "administrator".to_owned(),
        ..proto::RouteRequest::default()
    };
    let denied = ordinary.route(route("us")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // A registry that claims another region than its own.
    issue(&place, &[("d", "ap")]);
    let mut other = link(&identity_of(&place, "d"), &eu.daemon).await;
    let end = end_of(&mut other, vec![open("us", 0)]).await;
    assert_eq!(end.code(), Code::PermissionDenied);
    assert!(
        end.message().contains("names the registry of region ap"),
        "{end}"
    );
    let denied = other.route(route("us")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // Requests that are not valid.
    for (bad, words) in [
        (open("AP", 0), "region: \"AP\""),
        (open("ap", u64::MAX), "position.sequence: is not below 2^63"),
        (
            proto::FollowRequest { request: None },
            "request: is missing",
        ),
    ] {
        let end = end_of(&mut other, vec![bad]).await;
        assert_eq!(end.code(), Code::InvalidArgument);
        assert!(end.message().contains(words), "{end}");
    }
    let mut bad = route("ap");
    bad.caller = "root".to_owned();
    let refused = other.route(bad).await.unwrap_err();
    assert!(refused.message().contains("caller: \"root\""), "{refused}");
    // A position of another store than this one.
    let end = end_of(&mut other, vec![open("ap", 7)]).await;
    assert!(
        end.message()
            .contains("one of another store of that region"),
        "{end}"
    );
    create(&mut us.client, "", service("shop")).await.unwrap();
    us.status_when(|it| is_linked(it, "eu")).await;
}

#[tokio::test]
async fn a_second_store_of_a_region_is_refused_and_reported_at_both_ends() {
    let place = Place::new();
    let [eu, mut us] = two_regions(&place).await;
    issue(&place, &[("c", "us")]);
    let second = RunningDaemon::start(command(&place, "c", "us", &[eu.daemon.address]));
    let mut second = RegionDaemon {
        client: place.ask(&second).await,
        daemon: second,
    };
    let words = "another store has region us";
    let status = second.status_when(|it| it.obstacle.contains(words)).await;
    assert!(!status.serving);
    eu.daemon
        .says_all(&["the registry of another region is not served", words]);
    create(&mut us.client, "", service("shop")).await.unwrap();
    assert!(us.status().await.serving);
}

#[tokio::test]
async fn the_certificate_of_a_second_region_must_name_it() {
    let place = Place::new();
    issue(&place, &[("a", "eu")]);
    let (code, said) = refused(command(&place, "b", "us", &[]));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("issue it with phalanx ca issue b --registry us"),
        "{said}"
    );
    // The primary region runs alone without such a certificate; the other one says what is missing.
    issue(&place, &[("e", "us")]);
    let eu = RunningDaemon::start(command(&place, "n", "eu", &[]));
    let us = RunningDaemon::start(command(&place, "e", "us", &[eu.address]));
    let mut us = RegionDaemon {
        client: place.ask(&us).await,
        daemon: us,
    };
    let words = "issue the certificate with --registry eu";
    us.status_when(|it| it.obstacle.contains(words)).await;
}

#[tokio::test]
async fn three_regions_converge_and_a_node_without_a_registry_names_one() {
    let place = Place::new();
    let [mut eu, mut us] = two_regions(&place).await;
    issue(&place, &[("c", "ap")]);
    let target = [us.daemon.address];
    let mut ap = RegionDaemon::start(&place, command(&place, "c", "ap", &target)).await;
    create(&mut ap.client, "", service("shop")).await.unwrap();
    for daemon in [&mut eu, &mut us, &mut ap] {
        daemon.has("services/shop").await;
        let own = daemon.status().await.region;
        let others = ["ap", "eu", "us"].into_iter().filter(|it| *it != own);
        let others: Vec<_> = others.collect();
        daemon
            .status_when(|status| others.iter().all(|region| is_linked(status, region)))
            .await;
    }
    let mut without = place.command("d");
    without.args([
        "--target",
        &eu.daemon.address.to_string(),
        "--metadata",
        "region=us",
    ]);
    let without = RunningDaemon::start(without);
    let mut client = place.ask(&without).await;
    let deadline = Instant::now() + SOON;
    loop {
        let refused = get(&mut client, "services/shop").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        let other = phalanx_net::registry::other_registry(&refused);
        if let Some(other) = other.filter(|it| it.region == "us") {
            assert_eq!(
                (other.node.as_str(), other.address),
                ("b", us.daemon.address)
            );
            break;
        }
        assert!(Instant::now() < deadline, "{refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The library of clients goes to the registry that the node names.
    let mut config = environment("env", &[]);
    config.registers = false;
    let started = EnvRegistry::start(config, Address::Socket(without.address), place.admin());
    let env = tokio::time::timeout(SOON, started).await.unwrap().unwrap();
    drop(env);
}

#[tokio::test]
async fn a_process_in_the_second_region_registers_itself_and_metrics_show_the_copies() {
    let place = Place::new();
    issue(&place, &[("a", "eu"), ("b", "us")]);
    let mut eu = RegionDaemon::start(&place, command(&place, "a", "eu", &[])).await;
    let at_eu = [eu.daemon.address];
    let (us, metrics) = crate::metrics::start(command(&place, "b", "us", &at_eu));
    let mut client = place.ask(&us).await;
    serving(&mut client).await;
    let us = RegionDaemon { daemon: us, client };
    let config = EnvironmentConfig::new("shop", "us".parse().unwrap(), "v1").unwrap();
    let started = EnvRegistry::start(config, Address::Socket(us.daemon.address), place.admin());
    let env = tokio::time::timeout(SOON, started).await.unwrap().unwrap();
    let deployment = eu.has("services/shop/deployments/us").await;
    assert_eq!(deployment.metadata.unwrap().owning_region, "us");
    let service = eu.has("services/shop").await;
    assert_eq!(service.metadata.unwrap().owning_region, "eu");
    drop(env);
    let found = crate::metrics::metrics(metrics);
    for (name, expected) in [
        ("phalanx_registry_serving{region=us}", 1.0),
        ("phalanx_registry_copy_following{owner=eu,region=us}", 1.0),
        ("phalanx_registry_copy_lag_batches{owner=eu,region=us}", 0.0),
        (
            "phalanx_registry_follower_connected{follower=eu,region=us}",
            1.0,
        ),
    ] {
        let value = crate::metrics::value(&found, name);
        assert!((value - expected).abs() < 0.5, "{name} in {found:#}");
    }
    let age = "phalanx_registry_copy_age_seconds{owner=eu,region=us}";
    assert!(crate::metrics::value(&found, age) < 60.0);
}
