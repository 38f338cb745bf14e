//! The registry of a daemon: writes, watches, kills, and the library of its clients.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::place::{Place, days, flags, node};
use phalanx_core::link::Address;
use phalanx_core::registry::environment::EnvironmentConfig;
use phalanx_core::registry::environment::address::AddressReason;
use phalanx_core::registry::value::{ObjectTable, ObjectValue};
use phalanx_core::registry::watch::WatchChange;
use phalanx_net::clock;
use phalanx_net::identity::{self, Source};
use phalanx_net::registry::proto::{
    self, watch_change::Change, watch_objects_reply::Reply, watch_objects_request::Request,
};
use phalanx_net::registry::{EnvRegistry, EnvironmentUpdate};
use phalanx_net::service::Client;
use prost_types::value::Kind;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

/// The command of a daemon that runs the registry of region `eu`.
pub(crate) fn command(place: &Place, id: &str) -> Command {
    let mut command = place.command(id);
    command.env("PHALANX_REGISTRY_REGION", "eu");
    command
}

pub(crate) fn text(text: &str) -> prost_types::Value {
    prost_types::Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

pub(crate) fn object(name: &str, fields: &[(&str, &str)]) -> proto::Object {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| ((*name).to_owned(), text(value)));
    proto::Object {
        name: name.to_owned(),
        metadata: None,
        body: Some(prost_types::Struct {
            fields: fields.collect(),
        }),
    }
}

pub(crate) async fn create(
    client: &mut Client,
    request_id: &str,
    object: proto::Object,
) -> Result<proto::Object, tonic::Status> {
    let request = proto::CreateObjectRequest {
        object: Some(object),
        request_id: request_id.to_owned(),
    };
    let reply = client.objects().create_object(request).await?;
    Ok(reply.into_inner())
}

pub(crate) async fn get(client: &mut Client, name: &str) -> Result<proto::Object, tonic::Status> {
    let request = proto::GetObjectRequest {
        name: name.to_owned(),
        ..proto::GetObjectRequest::default()
    };
    Ok(client.objects().get_object(request).await?.into_inner())
}

/// Waits until the registry of a daemon takes writes.
pub(crate) async fn serving(client: &mut Client) -> proto::RegistryStatus {
    let begun = Instant::now();
    loop {
        let request = proto::GetRegistryStatusRequest {};
        let status = client.objects().get_registry_status(request).await;
        let status = status.unwrap().into_inner();
        if status.serving {
            return status;
        }
        assert!(begun.elapsed() < SOON, "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A watch of all objects of a daemon.
pub(crate) struct OpenedWatch {
    requests: mpsc::UnboundedSender<proto::WatchObjectsRequest>,
    replies: Streaming<proto::WatchObjectsReply>,
}

impl OpenedWatch {
    pub(crate) async fn open(client: &mut Client, selector: &str, resume_token: &str) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let stream = UnboundedReceiverStream::new(sent);
        let watch = Self {
            requests,
            replies: {
                let replies = client.objects().watch_objects(stream).await;
                replies.unwrap().into_inner()
            },
        };
        watch.ask(7, selector, resume_token);
        watch
    }

    fn ask(&self, watch_id: u64, selector: &str, resume_token: &str) {
        let open = proto::OpenWatch {
            selector: selector.to_owned(),
            resume_token: resume_token.to_owned(),
            ..proto::OpenWatch::default()
        };
        let request = Some(Request::Open(open));
        let request = proto::WatchObjectsRequest { watch_id, request };
        self.requests.send(request).unwrap();
    }

    async fn next(&mut self) -> (u64, Reply) {
        let next = timeout(SOON, self.replies.message()).await.unwrap();
        let reply = next.unwrap().unwrap();
        (reply.watch_id, reply.reply.unwrap())
    }

    /// The next message that is not a bookmark.
    pub(crate) async fn news(&mut self) -> Reply {
        loop {
            match self.next().await.1 {
                Reply::Bookmark(_) | Reply::Opened(_) => {}
                news @ (Reply::Snapshot(_)
                | Reply::Changes(_)
                | Reply::Reset(_)
                | Reply::Refused(_)) => return news,
            }
        }
    }
}

/// A change with the present entity tag succeeds; one with the former tag does not.
async fn changes_once(client: &mut Client, etag: &str) {
    let update = |name: &str| proto::UpdateObjectRequest {
        object: Some(object("services/shop", &[("display_name", name)])),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["display_name".to_owned()],
        }),
        condition: Some(proto::Precondition {
            etag: etag.to_owned(),
            ..proto::Precondition::default()
        }),
        ..proto::UpdateObjectRequest::default()
    };
    let updated = client.objects().update_object(update("Store")).await;
    assert_eq!(
        updated.unwrap().into_inner().metadata.unwrap().generation,
        2
    );
    let late = client.objects().update_object(update("Market")).await;
    let late = late.unwrap_err();
    assert_eq!(late.code(), Code::Aborted);
    let info = late.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["generation"].as_str()),
        ("CONFLICT", "2")
    );
}

/// A watcher that was away hears both changes, once.
async fn resume_after(client: &mut Client, token: &str) -> OpenedWatch {
    let mut resumed = OpenedWatch::open(client, "", token).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let Reply::Changes(changes) = resumed.news().await else {
            panic!("a watch that resumes gets no snapshot");
        };
        heard.extend(changes.changes.into_iter().filter_map(|it| it.change));
    }
    let generation = |change: &Change| match change {
        Change::Current(object) => object.metadata.as_ref().map(|it| it.generation),
        Change::Removed(_) => None,
    };
    let heard: Vec<_> = heard.iter().map(generation).collect();
    assert_eq!(heard, [Some(2), None]);
    resumed
}

#[tokio::test]
async fn objects_are_created_read_changed_watched_and_deleted() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut client = place.ask(&daemon).await;
    let status = serving(&mut client).await;
    assert_eq!(
        (status.region.as_str(), status.primary.as_str()),
        ("eu", "eu")
    );
    let mut watch = OpenedWatch::open(&mut client, "", "").await;
    assert_eq!(
        watch.next().await,
        (7, Reply::Opened(proto::WatchOpened {}))
    );
    let Reply::Snapshot(snapshot) = watch.news().await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(snapshot.objects, []);
    let shop = object("services/shop", &[("display_name", "Shop")]);
    let created = create(&mut client, "", shop.clone()).await.unwrap();
    let metadata = created.metadata.clone().unwrap();
    assert_eq!(
        (metadata.generation, metadata.owning_region.as_str()),
        (1, "eu")
    );
    assert_eq!(get(&mut client, "services/shop").await.unwrap(), created);
    let Reply::Changes(changes) = watch.news().await else {
        panic!("the creation follows");
    };
    let token = changes.resume_token;
    assert_eq!(
        changes.changes[0].change,
        Some(Change::Current(created.clone()))
    );
    let again = create(&mut client, "", shop).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    changes_once(&mut client, &metadata.etag).await;
    let delete = proto::DeleteObjectRequest {
        name: "services/shop".to_owned(),
        ..proto::DeleteObjectRequest::default()
    };
    let deleted = client.objects().delete_object(delete).await.unwrap();
    assert_eq!(deleted.into_inner().object, None);
    let missing = get(&mut client, "services/shop").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let resumed = resume_after(&mut client, &token).await;
    // An open stream does not delay the end of the daemon.
    let begun = Instant::now();
    assert!(daemon.ends().success());
    assert!(begun.elapsed() < SOON);
    drop((watch, resumed));
}

/// The object that a writer wrote last in turn, without an answer; and those with one.
async fn write_until_the_end(mut client: Client, writer: usize) -> (usize, BTreeSet<String>) {
    let mut acknowledged = BTreeSet::new();
    for turn in 0.. {
        let id = format!("w{writer}.{turn}");
        let written = create(&mut client, &id, object(&format!("services/{id}"), &[])).await;
        match written {
            Ok(object) => drop(acknowledged.insert(object.name)),
            Err(_) => return (turn, acknowledged),
        }
    }
    unreachable!("a daemon that was killed does not answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill_and_unanswered_ones_are_asked_again() {
    let place = Place::new();
    writes_survive_a_kill(&place, || command(&place, "n1")).await;
}

/// Kills a daemon under writers, starts it again, and asks for each write.
pub(crate) async fn writes_survive_a_kill(place: &Place, command: impl Fn() -> Command) {
    let mut daemon = RunningDaemon::start(command());
    let mut client = place.ask(&daemon).await;
    serving(&mut client).await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let client = place.ask(&daemon).await;
        let write = write_until_the_end(client, writer);
        writers.spawn(async move { (writer, write.await) });
    }
    while serving(&mut client).await.head < 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    daemon.signal(Signal::KILL);
    daemon.waits_for_its_end();
    let ended = writers.join_all().await;
    let daemon = RunningDaemon::start(command());
    let mut client = place.ask(&daemon).await;
    let status = serving(&mut client).await;
    assert_eq!(status.epoch, 2);
    let count = ended
        .iter()
        .map(|(_, (_, acknowledged))| acknowledged.len());
    let count = count.sum::<usize>();
    assert!(count >= 100, "{count} writes were acknowledged");
    for (writer, (turn, acknowledged)) in &ended {
        for name in acknowledged {
            get(&mut client, name).await.unwrap();
        }
        // The write that was under way is executed once, whether or not it was before.
        let id = format!("w{writer}.{turn}");
        let name = format!("services/{id}");
        let again = create(&mut client, &id, object(&name, &[])).await.unwrap();
        assert_eq!(again.metadata.unwrap().generation, 1);
        let other = create(&mut client, &format!("other.{id}"), object(&name, &[])).await;
        assert_eq!(other.unwrap_err().code(), Code::AlreadyExists);
    }
    // A refused write with a request id has a batch without changes.
    let head = serving(&mut client).await.head;
    assert_eq!(head, count as u64 + 8 + 8);
}

#[tokio::test]
async fn a_second_daemon_on_one_store_is_refused() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let state = place.path("state-n2");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::symlink(place.path("state-n1/registry"), state.join("registry")).unwrap();
    let (code, said) = refused(command(&place, "n2"));
    assert_eq!(code, Some(2), "{said}");
    let process = format!("another phalanxd (process {}) uses", daemon.process());
    assert!(said.contains(&process), "{said}");
    assert!(said.contains("state-n2/registry"), "{said}");
    // The store of one region is not that of another.
    assert!(daemon.ends().success());
    let mut other = place.command("n1");
    other.env("PHALANX_REGISTRY_REGION", "us");
    let (code, said) = refused(other);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("is the store of region eu, not of us"),
        "{said}"
    );
}

#[tokio::test]
async fn requests_that_are_not_valid_are_refused_with_the_field() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut client = place.ask(&daemon).await;
    serving(&mut client).await;
    let invalid = |status: tonic::Status, words: &str| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(words), "{status}");
    };
    let name = get(&mut client, "services/Shop").await.unwrap_err();
    invalid(name, "name: \"services/Shop\": column 10: a service is");
    let missing = create(&mut client, "", object("", &[])).await.unwrap_err();
    invalid(
        missing,
        "object.name: \"\": column 1: expected a collection",
    );
    let field = object("services/shop", &[("colour", "red")]);
    let field = create(&mut client, "", field).await.unwrap_err();
    invalid(field, "field `colour` does not exist");
    let id = create(&mut client, &"x".repeat(200), object("services/a", &[])).await;
    invalid(id.unwrap_err(), "request_id: has more than 128 bytes");
    for (filter, order_by, page_token, words) in [
        ("name = ", "", "", "filter: filter, column 8"),
        ("", "name down", "", "order_by: \"name down\""),
        ("", "", "abc", "page_token: the page token is damaged"),
    ] {
        let request = proto::ListObjectsRequest {
            filter: filter.to_owned(),
            order_by: order_by.to_owned(),
            page_token: page_token.to_owned(),
            ..proto::ListObjectsRequest::default()
        };
        let refused = client.objects().list_objects(request).await.unwrap_err();
        invalid(refused, words);
    }
    // A watch that is refused ends no other watch on its stream.
    let mut watch = OpenedWatch::open(&mut client, "Services", "").await;
    let (number, Reply::Refused(refusal)) = watch.next().await else {
        panic!("the selector is not valid");
    };
    assert_eq!(number, 7);
    assert!(
        refusal.text.starts_with("selector: \"Services\""),
        "{}",
        refusal.text
    );
    watch.ask(8, "", "eu.1.2.3.4.5");
    let (number, Reply::Refused(refusal)) = watch.next().await else {
        panic!("the token is forged");
    };
    assert!(
        number == 8 && refusal.text.contains("resume_token"),
        "{refusal:?}"
    );
    watch.ask(9, "services", "");
    assert_eq!(
        watch.next().await,
        (9, Reply::Opened(proto::WatchOpened {}))
    );
}

#[tokio::test]
async fn only_administrators_and_the_node_itself_use_the_registry() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    place.ask(&daemon).await;
    let member = place.start("n2", &[&daemon]);
    let source = Source::Directory(place.path("certs"));
    let opened = identity::open(&source, &node("n2"), clock::wall()).unwrap();
    let address = Address::Socket(daemon.address);
    let client = Client::connect(&address, &opened.identity, SOON).await;
    let denied = get(&mut client.unwrap(), "services/shop")
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let unimplemented = get(&mut place.ask(&member).await, "services/shop").await;
    assert_eq!(unimplemented.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_daemon_announces_its_registry_and_its_region() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut client = place.ask(&daemon).await;
    let request = phalanx_net::wire::proto::GetNodeInfoRequest {};
    let info = client
        .calls()
        .get_node_info(request)
        .await
        .unwrap()
        .into_inner();
    let record = info.record.unwrap();
    let region = record.metadata.iter().find(|entry| entry.key == "region");
    assert_eq!(region.map(|entry| entry.value.as_str()), Some("eu"));
    let services = record.services.iter();
    let services: Vec<_> = services
        .map(|it| (it.name.as_str(), it.version.as_str()))
        .collect();
    assert_eq!(services, [("phalanx.registry", "1")]);
}

pub(crate) fn environment(service: &str, fields: &[(&str, ObjectValue)]) -> EnvironmentConfig {
    let mut config = EnvironmentConfig::new(service, "eu".parse().unwrap(), "v1").unwrap();
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| ((*name).to_owned(), value.clone()));
    config.service_fields = fields.collect::<ObjectTable>();
    config
}

/// The names of the records of a service.
fn records_of(service: &str) -> [String; 2] {
    let record = format!("services/{service}");
    let deployment = format!("{record}/deployments/eu");
    [record, deployment]
}

fn names(update: &EnvironmentUpdate) -> Vec<&str> {
    update.changes.iter().map(|it| it.name().as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_registers_itself_and_follows_the_relevant_services() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut client = place.ask(&daemon).await;
    serving(&mut client).await;
    let (address, identity) = (Address::Socket(daemon.address), place.admin());
    let begin = |config| EnvRegistry::begin(config, address.clone(), identity.clone()).unwrap();
    let domain = ("global_domain", "shop.example".into());
    let shop = begin(environment("shop", &[domain]));
    // The region does not exist yet, so the process waits and says for what.
    let begun = Instant::now();
    let reason = loop {
        let reason = shop.inspect(|it, _| it.waits_for().map(ToString::to_string));
        if let Some(reason) = reason.await.unwrap() {
            break reason;
        }
        assert!(
            begun.elapsed() < SOON,
            "the process does not say what it waits for"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(reason.contains("needs regions/eu"), "{reason}");
    assert!(
        timeout(Duration::from_millis(1), shop.ready())
            .await
            .is_err()
    );
    create(&mut client, "", object("regions/eu", &[]))
        .await
        .unwrap();
    timeout(SOON, shop.ready()).await.unwrap().unwrap();
    let deployment = shop.own_deployment().await.unwrap().unwrap();
    assert_eq!(deployment.name.as_str(), "services/shop/deployments/eu");
    assert_eq!(shop.age().await.unwrap(), Some(Duration::ZERO));
    let chosen = shop.address("shop", None).await.unwrap().unwrap();
    assert_eq!(
        (chosen.domain.as_str(), chosen.reason),
        ("eu.shop.example", AddressReason::Regional)
    );
    // A late subscriber has what exists first, and then the services that import its own.
    let mut subscription = shop.subscribe();
    let first = timeout(SOON, subscription.next()).await.unwrap().unwrap();
    assert!(first.is_snapshot);
    let own = [
        "regions/eu",
        "services/shop",
        "services/shop/deployments/eu",
    ];
    assert_eq!(names(&first), own);
    let stranger = begin(environment("stranger", &[]));
    timeout(SOON, stranger.ready()).await.unwrap().unwrap();
    let imports = ("imported_services", ObjectValue::texts(["shop"]));
    let mail = begin(environment("mail", &[imports]));
    timeout(SOON, mail.ready()).await.unwrap().unwrap();
    // The importing service may read the records of its own. They arrive in one update or in several.
    let expected: BTreeSet<_> = [records_of("mail"), records_of("shop")]
        .concat()
        .into_iter()
        .collect();
    let mut heard = BTreeSet::new();
    while heard != expected {
        let next = timeout(SOON, subscription.next()).await.unwrap().unwrap();
        assert!(!next.is_snapshot);
        assert!(matches!(next.changes[0], WatchChange::Current(_)));
        heard.extend(names(&next).into_iter().map(str::to_owned));
    }
    // A process whose records stand writes nothing.
    let head = serving(&mut client).await.head;
    let again = begin(environment(
        "shop",
        &[("global_domain", "shop.example".into())],
    ));
    timeout(SOON, again.ready()).await.unwrap().unwrap();
    assert_eq!(serving(&mut client).await.head, head);
}

#[test]
fn a_registry_that_cannot_run_is_refused_with_the_mend() {
    let place = Place::new();
    let refusal = |variables: &[(&str, &str)]| {
        let mut command = place.command("a");
        command.envs(variables.iter().copied());
        let (code, said) = refused(command);
        assert_eq!(code, Some(2), "{said}");
        said
    };
    let said = refusal(&[("PHALANX_REGISTRY_REGION", "EU")]);
    assert!(
        said.contains("registry.region: \"EU\" is not a region: a region is 2 to 30"),
        "{said}"
    );
    let said = refusal(&[("PHALANX_REGISTRY_STORE", "sqlite")]);
    assert!(
        said.contains("registry.region: is missing, and metadata have no region"),
        "{said}"
    );
    // A store that is not a directory.
    std::fs::create_dir(place.path("state-a")).unwrap();
    std::fs::write(place.path("state-a/registry"), "").unwrap();
    let said = refusal(&[("PHALANX_REGISTRY_REGION", "eu")]);
    assert!(
        said.contains("state-a/registry: cannot be created"),
        "{said}"
    );
    let other = place.issued("ca", &node("a"), days(1), days(1));
    let flags = flags(&other.certificate, &other.key, &other.ca);
    let mut checked = crate::daemon::phalanxd(["--id", "a", "--mesh", "test"]);
    let state = place.text("unused");
    checked
        .args(["--listen", "127.0.0.1:0"])
        .args(["--state-dir", &state, "--check-config"])
        .args(flags);
    checked.env("PHALANX_REGISTRY_REGION", "eu");
    let output = checked.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!place.path("unused").exists(), "a check writes nothing");
}
