//! Permissions in the registry of a daemon: services with certificates of their own, and local programs.

use crate::daemon::{RunningDaemon, SOON, refused};
use crate::place::Place;
use crate::registry::{command, create, environment, get, object, serving};
use phalanx_core::identity::NodeId;
use phalanx_core::link::Address;
use phalanx_core::registry::environment::address::AddressReason;
use phalanx_core::registry::value::ObjectValue;
use phalanx_net::clock;
use phalanx_net::identity::{self, Identity, Source, Subject};
use phalanx_net::registry::proto;
use phalanx_net::registry::{EnvRegistry, EnvRegistryError, RegistryEndpoint};
use phalanx_net::service::Client;
use phalanx_net::wire::proto as mesh;
use std::time::Instant;
use tokio::time::timeout;
use tonic::Code;

/// The identity of a service, with a certificate of the place's CA.
fn service(place: &Place, name: &str) -> Identity {
    let subject = Subject::service("test", NodeId::new(name).unwrap()).unwrap();
    let source = Source::Directory(place.path("certs"));
    identity::open(&source, &subject, clock::wall())
        .unwrap()
        .identity
}

async fn connect(daemon: &RunningDaemon, identity: &Identity) -> Client {
    let address = Address::Socket(daemon.address);
    Client::connect(&address, identity, SOON).await.unwrap()
}

/// Waits until an object is, or is not, in the copy of a process.
async fn sees(environment: &EnvRegistry, name: &str, expected: bool) {
    let begun = Instant::now();
    loop {
        let found = environment.get(name.parse().unwrap()).await.unwrap();
        if found.is_some() == expected {
            return;
        }
        assert!(begun.elapsed() < SOON, "{name}: {found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_with_certificates_of_their_own_see_each_other_by_their_imports() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut admin = place.ask(&daemon).await;
    serving(&mut admin).await;
    create(&mut admin, "", object("regions/eu", &[]))
        .await
        .unwrap();
    let start = async |name: &str, fields: &[(&str, ObjectValue)]| {
        let address = Address::Socket(daemon.address);
        let started = EnvRegistry::start(environment(name, fields), address, service(&place, name));
        timeout(SOON, started).await.unwrap()
    };
    let domain = ("global_domain", "shop.example".into());
    let shop = start("shop", &[domain]).await.unwrap();
    let stranger = start("stranger", &[]).await.unwrap();
    let imports = ("imported_services", ObjectValue::texts(["shop"]));
    let mail = start("mail", &[imports]).await.unwrap();
    for (environment, name, expected) in [
        (&mail, "services/shop/deployments/eu", true),
        (&shop, "services/mail/deployments/eu", true),
        (&shop, "services/stranger", false),
        (&stranger, "services/stranger/deployments/eu", true),
        (&stranger, "services/shop", false),
        (&stranger, "regions/eu", true),
    ] {
        sees(environment, name, expected).await;
    }
    let chosen = mail.address("shop", None).await.unwrap().unwrap();
    assert_eq!(
        (chosen.domain.as_str(), chosen.reason),
        ("eu.shop.example", AddressReason::Regional)
    );
    let listed = admin.objects().list_objects(proto::ListObjectsRequest {
        selector: "services".to_owned(),
        ..proto::ListObjectsRequest::default()
    });
    assert_eq!(listed.await.unwrap().into_inner().objects.len(), 3);
    let record = get(&mut admin, "services/shop").await.unwrap();
    let info = record.metadata.unwrap().services.unwrap();
    assert_eq!(info.owning_service, "shop");
    assert_eq!(info.allowed_services, ["mail", "shop"]);
    // The end of the import hides both services from each other.
    let update = proto::UpdateObjectRequest {
        object: Some(object("services/mail", &[])),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["imported_services".to_owned()],
        }),
        ..proto::UpdateObjectRequest::default()
    };
    drop(mail);
    admin.objects().update_object(update).await.unwrap();
    sees(&shop, "services/mail/deployments/eu", false).await;
    sees(&shop, "services/mail", false).await;
    // A process with the certificate of another service is refused for good.
    let address = Address::Socket(daemon.address);
    let identity = service(&place, "shop");
    let posing = EnvRegistry::start(environment("other", &[]), address, identity);
    let refusal = timeout(SOON, posing).await.unwrap().unwrap_err();
    let EnvRegistryError::Rejected(refusal) = refusal else {
        panic!("{refusal}");
    };
    let refusal = refusal.to_string();
    assert!(
        refusal.contains("services/other: service/shop may not write it"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_service_is_refused_what_others_may_do_and_hears_why() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut admin = place.ask(&daemon).await;
    serving(&mut admin).await;
    create(&mut admin, "", object("services/mail", &[]))
        .await
        .unwrap();
    let mut shop = connect(&daemon, &service(&place, "shop")).await;
    create(&mut shop, "", object("services/shop", &[]))
        .await
        .unwrap();
    let denied = |status: tonic::Status, words: &str| {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(words), "{status}");
    };
    let hidden = get(&mut shop, "services/mail").await.unwrap_err();
    let missing = get(&mut shop, "services/none").await.unwrap_err();
    assert_eq!(
        (hidden.code(), missing.code()),
        (Code::NotFound, Code::NotFound)
    );
    // Whether the object exists makes no difference.
    for name in ["services/mail", "services/none", "regions/us"] {
        let other = create(&mut shop, "", object(name, &[])).await.unwrap_err();
        denied(other, "service/shop may not write it");
    }
    let status = proto::GetRegistryStatusRequest {};
    let status = shop.objects().get_registry_status(status).await;
    denied(status.unwrap_err(), "may not see the state of the registry");
    let status = shop.calls().get_status(mesh::GetStatusRequest {}).await;
    denied(
        status.unwrap_err(),
        "spiffe://test/service/shop may not do this",
    );
    let topology = shop.calls().get_topology(mesh::GetTopologyRequest {}).await;
    denied(topology.unwrap_err(), "may not see the members of the mesh");
    let services = mesh::ListServicesRequest::default();
    shop.calls().list_services(services).await.unwrap();
    let channels = shop.channels().list_channels(mesh::ListChannelsRequest {});
    denied(channels.await.unwrap_err(), "may not do this");
}

#[tokio::test]
async fn a_local_program_is_the_service_of_its_user() {
    let place = Place::new();
    let user = rustix::process::getuid().as_raw();
    let mut with_clients = command(&place, "n1");
    with_clients.env("PHALANX_REGISTRY_CLIENTS", format!("{user}=shop"));
    let daemon = RunningDaemon::start(with_clients);
    let mut admin = place.ask(&daemon).await;
    serving(&mut admin).await;
    create(&mut admin, "", object("regions/eu", &[]))
        .await
        .unwrap();
    let socket = place.path("state-n1/registry.sock");
    let at = |path: &std::path::Path| RegistryEndpoint::Local(path.to_owned());
    let shop = EnvRegistry::start_at(environment("shop", &[]), at(&socket));
    let shop = timeout(SOON, shop).await.unwrap().unwrap();
    assert!(shop.own_deployment().await.unwrap().is_some());
    let other = EnvRegistry::start_at(environment("other", &[]), at(&socket));
    let refusal = timeout(SOON, other).await.unwrap().unwrap_err().to_string();
    assert!(refusal.contains("service/shop may not write"), "{refusal}");
    drop(shop);
    // A second daemon does not take the socket of the first.
    let mut second = command(&place, "n2");
    second.env("PHALANX_REGISTRY_CLIENTS", format!("{user}=shop"));
    second.env("PHALANX_REGISTRY_SOCKET", &socket);
    let (code, said) = refused(second);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("another process listens on this socket"),
        "{said}"
    );
    assert!(daemon.ends().success());
    // A user without a service hears what to do.
    let mut unmapped = command(&place, "n1");
    let nobody = user + 1;
    unmapped.env("PHALANX_REGISTRY_CLIENTS", format!("{nobody}=shop"));
    let daemon = RunningDaemon::start(unmapped);
    serving(&mut place.ask(&daemon).await).await;
    let refused = EnvRegistry::start_at(environment("shop", &[]), at(&socket));
    let refusal = timeout(SOON, refused).await.unwrap().unwrap_err();
    let expected = format!("add `{user} = \"SERVICE\"` to [registry.clients]");
    assert!(refusal.to_string().contains(&expected), "{refusal}");
}
