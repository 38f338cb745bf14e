//! The typed services of the registry of a daemon, with the types that are generated from their definitions.

use crate::daemon::{RunningDaemon, SOON};
use crate::place::Place;
use crate::registry::{command, get, serving};
use phalanx_net::registry::proto::deployment_service_client::DeploymentServiceClient;
use phalanx_net::registry::proto::region_service_client::RegionServiceClient;
use phalanx_net::registry::proto::resource_service_client::ResourceServiceClient;
use phalanx_net::registry::proto::service_service_client::ServiceServiceClient;
use phalanx_net::registry::proto::{
    self, deployment_change::Change, watch_deployments_reply::Reply,
};
use prost_types::FieldMask;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

/// The service `shop` with fields of all types.
fn shop() -> proto::Service {
    proto::Service {
        name: "services/shop".to_owned(),
        metadata: Some(proto::ObjectMetadata {
            labels: [("tier".to_owned(), "web".to_owned())].into(),
            ..proto::ObjectMetadata::default()
        }),
        display_name: "Shop".to_owned(),
        multi_region_policy: Some(proto::MultiRegionPolicy {
            enabled_regions: vec!["eu".to_owned()],
            default_control_region: "eu".to_owned(),
            criteria_for_disabled_sync: Vec::new(),
            closing_regions: Vec::new(),
        }),
        all_versions: vec!["v2".to_owned(), "v1".to_owned()],
        global_domain: "shop.example".to_owned(),
        labelled_domains: [("admin".to_owned(), "admin.shop.example".to_owned())].into(),
        imported_versions: vec![proto::ImportedVersion {
            own_version: "v2".to_owned(),
            service: "mail".to_owned(),
            version: "v1".to_owned(),
        }],
        env_registry_generation: 7,
        automatic_version_switch: true,
        ..proto::Service::default()
    }
}

fn deployment(public_domain: &str) -> proto::Deployment {
    proto::Deployment {
        name: "services/shop/deployments/eu".to_owned(),
        region: "eu".to_owned(),
        current_version: "v1".to_owned(),
        public_domain: public_domain.to_owned(),
        ..proto::Deployment::default()
    }
}

/// Creates the region, the service and its deployment.
async fn create(channel: &Channel) {
    let region = proto::Region {
        name: "regions/eu".to_owned(),
        display_name: "Europe".to_owned(),
        ..proto::Region::default()
    };
    let request = proto::CreateRegionRequest {
        region: Some(region),
        ..proto::CreateRegionRequest::default()
    };
    let created = RegionServiceClient::new(channel.clone())
        .create_region(request)
        .await;
    assert_eq!(created.unwrap().into_inner().display_name, "Europe");
    let request = proto::CreateServiceRequest {
        service: Some(shop()),
        ..proto::CreateServiceRequest::default()
    };
    let mut services = ServiceServiceClient::new(channel.clone());
    let created = services.create_service(request).await.unwrap().into_inner();
    let metadata = created.metadata.clone().unwrap();
    assert_eq!(
        (metadata.generation, metadata.labels["tier"].as_str()),
        (1, "web")
    );
    let sent = proto::Service {
        metadata: created.metadata.clone(),
        ..shop()
    };
    assert_eq!(created, sent, "each field is the same");
    let request = proto::CreateDeploymentRequest {
        deployment: Some(deployment("one.example")),
        ..proto::CreateDeploymentRequest::default()
    };
    let mut deployments = DeploymentServiceClient::new(channel.clone());
    deployments.create_deployment(request).await.unwrap();
}

async fn next(watch: &mut Streaming<proto::WatchDeploymentsReply>) -> Reply {
    loop {
        let reply = timeout(SOON, watch.message()).await.unwrap().unwrap();
        match reply.unwrap().reply.unwrap() {
            Reply::Bookmark(_) => {}
            reply @ (Reply::Snapshot(_) | Reply::Changes(_) | Reply::Reset(_)) => return reply,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_four_kinds_have_typed_services() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut admin = place.ask(&daemon).await;
    serving(&mut admin).await;
    let channel = admin.channel();
    create(&channel).await;
    // The typed service and `ObjectService` are two views of the same object.
    let object = get(&mut admin, "services/shop").await.unwrap();
    assert_eq!(object.body.unwrap().fields.len(), 8);
    let mut deployments = DeploymentServiceClient::new(channel.clone());
    let request = proto::ListDeploymentsRequest {
        parent: "services/-".to_owned(),
        filter: "current_version = \"v1\"".to_owned(),
        with_total_size: true,
        ..proto::ListDeploymentsRequest::default()
    };
    let listed = deployments.list_deployments(request).await.unwrap();
    let listed = listed.into_inner();
    assert_eq!((listed.deployments.len(), listed.total_size), (1, Some(1)));
    let found = &listed.deployments[0];
    assert_eq!(found.public_domain, "one.example");
    let request = proto::WatchDeploymentsRequest {
        parent: "services/shop".to_owned(),
        ..proto::WatchDeploymentsRequest::default()
    };
    let watch = deployments.watch_deployments(request).await;
    let mut watch = watch.unwrap().into_inner();
    let Reply::Snapshot(snapshot) = next(&mut watch).await else {
        panic!("a snapshot is first");
    };
    assert_eq!(snapshot.deployments, std::slice::from_ref(found));
    assert_eq!(snapshot.end.unwrap().count, 1);
    let update = |etag: &str| proto::UpdateDeploymentRequest {
        deployment: Some(deployment("two.example")),
        update_mask: Some(FieldMask {
            paths: vec!["public_domain".to_owned()],
        }),
        condition: Some(proto::Precondition {
            etag: etag.to_owned(),
            ..proto::Precondition::default()
        }),
        ..proto::UpdateDeploymentRequest::default()
    };
    let etag = found.metadata.clone().unwrap().etag;
    deployments.update_deployment(update(&etag)).await.unwrap();
    let conflict = deployments.update_deployment(update(&etag)).await;
    assert_eq!(conflict.unwrap_err().code(), Code::Aborted);
    let Reply::Changes(changes) = next(&mut watch).await else {
        panic!("the change follows");
    };
    let Some(Change::Current(current)) = &changes.changes[0].change else {
        panic!("{changes:?}");
    };
    assert_eq!(current.public_domain, "two.example");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_service_refuses_objects_of_other_kinds() {
    let place = Place::new();
    let daemon = RunningDaemon::start(command(&place, "n1"));
    let mut admin = place.ask(&daemon).await;
    serving(&mut admin).await;
    let channel = admin.channel();
    create(&channel).await;
    let mut regions = RegionServiceClient::new(channel.clone());
    let name = "services/shop".to_owned();
    let request = proto::GetRegionRequest {
        name: name.clone(),
        ..proto::GetRegionRequest::default()
    };
    let refused = regions.get_region(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("is not the name of a region"),
        "{refused:?}"
    );
    let request = proto::DeleteRegionRequest {
        name,
        ..proto::DeleteRegionRequest::default()
    };
    let refused = regions.delete_region(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let mut resources = ResourceServiceClient::new(channel.clone());
    let request = proto::ListResourcesRequest {
        parent: "shop".to_owned(),
        ..proto::ListResourcesRequest::default()
    };
    let refused = resources.list_resources(request).await.unwrap_err();
    assert!(refused.message().contains("services/ID"), "{refused:?}");
    let request = proto::WatchRegionRequest {
        name: "regions/eu".to_owned(),
        resume_token: "forged".to_owned(),
        ..proto::WatchRegionRequest::default()
    };
    let mut watch = regions.watch_region(request).await.unwrap().into_inner();
    let refused = timeout(SOON, watch.message()).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    drop(daemon);
}
