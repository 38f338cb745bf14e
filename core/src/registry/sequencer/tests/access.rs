//! Visibility: audiences follow the relations of services, and reads, lists and watches agree.

use super::{SequencerBench, config, create, delete, name, service, table};
use crate::registry::access::{RegistryCaller, VisibleObjects};
use crate::registry::metadata::WriterMetadata;
use crate::registry::object::{Object, ObjectDraft};
use crate::registry::query::{FieldMask, ObjectScope};
use crate::registry::rules::RuleViolation;
use crate::registry::sabotage::{RegistryBug, RegistryBugs};
use crate::registry::sequencer::Input;
use crate::registry::value::ObjectValue;
use crate::registry::watch::{ResumeToken, WatchChange, WatchId, WatchMessage, WatchRequest};
use crate::registry::write::{Precondition, WriteOperation, WriteRefusal};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn caller(service: &str) -> RegistryCaller {
    RegistryCaller::Service(service.to_owned())
}

/// An update of some fields.
fn set(at: &str, fields: &[(&str, ObjectValue)]) -> WriteOperation {
    let mask: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
    WriteOperation::Update {
        draft: ObjectDraft::new(name(at), table(fields)),
        mask: mask.join(",").parse().unwrap(),
        condition: Precondition::default(),
        allow_missing: false,
    }
}

/// An update of the services that an object is shared with.
fn share(at: &str, with: &[&str]) -> WriteOperation {
    let shared_with = with.iter().map(|it| (*it).to_owned()).collect();
    WriteOperation::Update {
        draft: ObjectDraft {
            metadata: WriterMetadata {
                shared_with,
                ..WriterMetadata::default()
            },
            ..ObjectDraft::new(name(at), table(&[]))
        },
        mask: "metadata.shared_with".parse::<FieldMask>().unwrap(),
        condition: Precondition::default(),
        allow_missing: true,
    }
}

/// The ids of the objects that a service sees, without regions.
fn seen(bench: &SequencerBench, service: &str) -> Vec<String> {
    let caller = caller(service);
    let visible = VisibleObjects::new(bench.machine.objects(), &caller);
    let names = visible.with_prefix("").map(|it| it.name.to_string());
    names.filter(|it| !it.starts_with("regions/")).collect()
}

fn open(bench: &mut SequencerBench, watch: u64, service: &str, resume: Option<ResumeToken>) {
    bench.step(Input::OpenWatch {
        watch: WatchId(watch),
        caller: caller(service),
        request: Box::new(WatchRequest {
            resume,
            ..WatchRequest::new(ObjectScope::default())
        }),
    });
    bench.step(Input::GrantWatch {
        watch: WatchId(watch),
        bytes: 1 << 30,
    });
}

/// The changes that a watch heard since the last call: `+` for a current object and `-` for a removed one.
fn heard(bench: &mut SequencerBench, watch: u64) -> Vec<String> {
    let messages = bench.watched.remove(&watch).unwrap_or_default();
    let changes = messages.into_iter().flat_map(|message| match message {
        WatchMessage::Changes { changes, .. } => changes,
        WatchMessage::Snapshot { .. }
        | WatchMessage::Bookmark { .. }
        | WatchMessage::Reset { .. } => Vec::new(),
    });
    let lines = changes.map(|change| match change {
        WatchChange::Current(object) => format!("+{}", object.name),
        WatchChange::Removed(name) => format!("-{name}"),
    });
    lines.collect()
}

#[test]
fn an_import_shows_both_services_to_each_other_until_it_is_removed() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[
        create("services/shop/deployments/eu", &[]),
        service("mail", &["eu"], &[]),
        create("services/mail/deployments/eu", &[]),
        create("//shop/orders/1", &[]),
    ]);
    let own = ["services/mail", "services/mail/deployments/eu"];
    assert_eq!(seen(&bench, "mail"), own);
    open(&mut bench, 1, "mail", None);
    open(&mut bench, 2, "shop", None);
    heard(&mut bench, 1);
    heard(&mut bench, 2);
    let before = bench.machine.get(&name("services/shop")).cloned().unwrap();
    let imports = ObjectValue::texts(["shop"]);
    let outcome = bench.must(&[set("services/mail", &[("imported_services", imports)])]);
    let changed: Vec<_> = outcome.objects.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(changed, ["services/mail"], "audiences are not an outcome");
    let of_shop = [
        "+services/shop",
        "+services/shop/deployments/eu",
        "+services/shop/resources/Order",
    ];
    let mut news = heard(&mut bench, 1);
    news.retain(|it| !it.contains("mail"));
    assert_eq!(news, of_shop, "objects of registered kinds stay hidden");
    assert!(heard(&mut bench, 2).contains(&"+services/mail/deployments/eu".to_owned()));
    let after = bench.machine.get(&name("services/shop")).cloned().unwrap();
    assert_eq!(after.metadata.etag(), before.metadata.etag());
    assert_ne!(after.metadata.revision, before.metadata.revision);
    assert_eq!(after.allowed_services(), ["mail", "shop"]);
    bench.must(&[set(
        "services/mail",
        &[("imported_services", ObjectValue::Null)],
    )]);
    let gone: Vec<_> = of_shop.iter().map(|it| it.replace('+', "-")).collect();
    let mut news = heard(&mut bench, 1);
    news.retain(|it| !it.contains("mail"));
    assert_eq!(news, gone);
    assert_eq!(seen(&bench, "mail"), own);
}

#[test]
fn an_object_is_shared_and_a_public_kind_is_seen_by_all() {
    let mut bench = SequencerBench::prepared(config());
    bench.must(&[
        service("mail", &["eu"], &[]),
        create("//shop/orders/1", &[]),
    ]);
    open(&mut bench, 1, "mail", None);
    heard(&mut bench, 1);
    bench.must(&[share("//shop/orders/1", &["mail"])]);
    assert_eq!(heard(&mut bench, 1), ["+//shop/orders/1"]);
    bench.must(&[share("//shop/orders/1", &[])]);
    assert_eq!(heard(&mut bench, 1), ["-//shop/orders/1"]);
    let public = || {
        set(
            "services/shop/resources/Order",
            &[("is_public", ObjectValue::Bool(true))],
        )
    };
    let refusal = bench.refusal(&[public()]);
    assert!(
        matches!(refusal, WriteRefusal::Rule(RuleViolation::Blocked { .. })),
        "{refusal}"
    );
    bench.must(&[delete("//shop/orders/1"), public()]);
    bench.must(&[create("//shop/orders/2", &[])]);
    assert_eq!(heard(&mut bench, 1), ["+//shop/orders/2"]);
    bench.must(&[share("services/shop", &["*"])]);
    assert!(seen(&bench, "mail").contains(&"services/shop/resources/Order".to_owned()));
    let shop = bench.machine.get(&name("services/shop")).unwrap();
    assert_eq!(shop.allowed_services(), ["*"]);
}

#[test]
fn a_token_of_another_caller_gets_a_snapshot() {
    let mut bench = SequencerBench::prepared(config());
    open(&mut bench, 1, "shop", None);
    let messages = bench.watched.remove(&1).unwrap();
    let Some(WatchMessage::Snapshot { end: Some(end), .. }) = messages.last() else {
        panic!("{messages:?}");
    };
    let token = end.token.clone();
    open(&mut bench, 2, "mail", Some(token.clone()));
    assert!(matches!(bench.watched[&2][0], WatchMessage::Reset { .. }));
    open(&mut bench, 3, "shop", Some(token));
    assert!(matches!(
        bench.watched[&3][..],
        [WatchMessage::Bookmark { .. }]
    ));
}

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// The objects that a service may see, from the bodies of the objects alone.
fn may_see(objects: &BTreeMap<String, Arc<Object>>, viewer: &str, object: &Object) -> bool {
    let Some(owner) = object.name.of_service() else {
        return true;
    };
    let shared = |it: &Object| {
        let with = &it.metadata.writer.shared_with;
        with.contains(viewer) || with.contains("*")
    };
    let names = |service: &str, other: &str| {
        objects
            .get(&format!("services/{service}"))
            .is_some_and(|it| {
                let (mut imported, mut used) =
                    (it.texts("imported_services"), it.texts("used_services"));
                imported.any(|it| it == other) || used.any(|it| it == other)
            })
    };
    let record = objects.get(&format!("services/{owner}"));
    let is_related =
        names(owner, viewer) || names(viewer, owner) || record.is_some_and(|it| shared(it));
    let follows_service = object.name.as_str().starts_with("services/");
    owner == viewer || shared(object) || follows_service && is_related
}

/// A write of the property test.
fn any_write() -> impl Strategy<Value = WriteOperation> {
    let id = || prop::sample::select(&IDS[..]);
    let ids = || prop::sample::subsequence(&IDS[..], 0..3);
    prop_oneof![
        (id(), ids()).prop_map(|(id, imports)| service(id, &["eu"], &imports)),
        (id(), ids()).prop_map(|(id, used)| {
            let used = ObjectValue::texts(used);
            set(&format!("services/{id}"), &[("used_services", used)])
        }),
        (id(), ids()).prop_map(|(id, imports)| {
            let imports = ObjectValue::texts(imports);
            set(&format!("services/{id}"), &[("imported_services", imports)])
        }),
        id().prop_map(|id| create(&format!("services/{id}/deployments/eu"), &[])),
        id().prop_map(|id| {
            let patterns = ObjectValue::texts([format!("//{id}/orders/{{order}}")]);
            create(
                &format!("services/{id}/resources/Order"),
                &[("patterns", patterns)],
            )
        }),
        (id(), ids()).prop_map(|(id, with)| share(&format!("services/{id}"), &with)),
        (id(), ids()).prop_map(|(id, with)| share(&format!("//{id}/orders/1"), &with)),
        (id(), ids()).prop_map(|(id, with)| share(&format!("services/{id}/deployments/eu"), &with)),
        id().prop_map(|id| delete(&format!("services/{id}"))),
        id().prop_map(|id| delete(&format!("//{id}/orders/1"))),
    ]
}

/// The copy of a watcher, checked message by message.
#[derive(Debug, Default)]
struct WatchedCopy {
    objects: BTreeMap<String, Arc<Object>>,
    snapshot: BTreeMap<String, Arc<Object>>,
    token: Option<ResumeToken>,
}

impl WatchedCopy {
    fn take(&mut self, caller: &RegistryCaller, message: WatchMessage) {
        match message {
            WatchMessage::Snapshot { objects, end } => {
                for object in objects {
                    assert!(caller.sees(&object), "{} is hidden", object.name);
                    self.snapshot.insert(object.name.to_string(), object);
                }
                if let Some(end) = end {
                    self.objects = std::mem::take(&mut self.snapshot);
                    self.token = Some(end.token);
                }
            }
            WatchMessage::Changes { changes, token } => {
                for change in changes {
                    let name = change.name().to_string();
                    match change {
                        WatchChange::Current(object) => {
                            assert!(caller.sees(&object), "{name} is hidden");
                            self.objects.insert(name, object);
                        }
                        WatchChange::Removed(_) => {
                            assert!(
                                self.objects.remove(&name).is_some(),
                                "{name} was never seen"
                            );
                        }
                    }
                }
                self.token = Some(token);
            }
            WatchMessage::Bookmark { token } => self.token = Some(token),
            WatchMessage::Reset { .. } => self.snapshot.clear(),
        }
    }
}

/// Writes, and compares what each service sees by a list and by a watch that is resumed now and then.
fn check(writes: Vec<(WriteOperation, bool)>, bugs: RegistryBugs) {
    let mut config = config();
    config.bugs = bugs;
    let mut bench = SequencerBench::new(config);
    bench.must(&[create("regions/eu", &[])]);
    let mut copies: BTreeMap<&str, WatchedCopy> = IDS.map(|id| (id, WatchedCopy::default())).into();
    let watch = |id: &str| IDS.iter().position(|it| *it == id).unwrap() as u64;
    for id in IDS {
        open(&mut bench, watch(id), id, None);
    }
    let count = writes.len();
    for (at, (write, is_away)) in writes.into_iter().enumerate() {
        let away = (is_away && at + 1 < count).then_some("a");
        if let Some(away) = away {
            let watch = WatchId(watch(away));
            bench.step(Input::CloseWatch { watch });
        }
        bench.write(&[write]);
        if bench.group.is_some() {
            bench.commit();
        }
        if let Some(away) = away {
            open(&mut bench, watch(away), away, copies[away].token.clone());
        }
        let objects: BTreeMap<_, _> = bench
            .machine
            .objects()
            .iter()
            .map(|it| (it.name.to_string(), Arc::clone(it)))
            .collect();
        for (id, copy) in &mut copies {
            let caller = caller(id);
            for message in bench.watched.remove(&watch(id)).unwrap_or_default() {
                copy.take(&caller, message);
            }
            let visible = VisibleObjects::new(bench.machine.objects(), &caller);
            let listed: Vec<_> = visible.with_prefix("").cloned().collect();
            let watched: Vec<_> = copy.objects.values().cloned().collect();
            assert_eq!(listed, watched, "{id}");
            let expected = objects.values().filter(|it| may_see(&objects, id, it));
            let expected: BTreeSet<_> = expected.map(|it| it.name.as_str()).collect();
            let listed: BTreeSet<_> = listed.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(listed, expected, "{id}");
        }
    }
}

proptest! {
    #[test]
    fn lists_and_watches_show_what_the_relations_of_services_allow(
        writes in prop::collection::vec((any_write(), any::<bool>()), 1..40),
    ) {
        check(writes, RegistryBugs::NONE);
    }
}

#[test]
#[should_panic(expected = "is hidden")]
fn a_watch_that_shows_hidden_objects_is_found_out() {
    let bugs = RegistryBugs::NONE.with(RegistryBug::HiddenIsShown);
    check(vec![(service("b", &["eu"], &[]), false)], bugs);
}
