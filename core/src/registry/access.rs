//! Authorization: what a caller of the registry may read and write.
//!
//! | caller | writes | reads |
//! |---|---|---|
//! | an administrator | all objects | all objects |
//! | the node that runs the registry | all objects | all objects |
//! | a service | its own record and all objects that belong to it | regions, its own objects, and the objects whose audience has it |
//!
//! The name of an object decides who may write it, so a refusal says nothing about the objects that exist. The
//! [audience](super::audience) of an object decides who may read it: [`RegistryCaller::sees`] is the one rule for
//! reads, lists and watches. An object that a caller may not read does not exist for it.

use super::name::ObjectName;
use super::object::Object;
use super::state::ObjectMap;
use crate::random::hash_bytes;
use crate::subject::{CertificateRole, Subject};
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A caller of the registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegistryCaller {
    /// An administrator.
    Administrator,
    /// The node that runs the registry.
    Node,
    /// A process of this service.
    Service(String),
}

/// Reason why a holder of a certificate is not a caller of the registry, or may not make a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryDenial {
    /// The holder is another node.
    OtherNode(Subject),
    /// The name in the certificate of a service is not the id of a service.
    ServiceId(Subject),
    /// A service asks for the state of the registry.
    Status(RegistryCaller),
    /// A service asks for a backup of the registry.
    Backup(RegistryCaller),
    /// No service is given for a user of the registry's host.
    UnknownUser(u32),
}

impl fmt::Display for RegistryDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNode(subject) => write!(
                f,
                "{subject} may not use the registry of this node; use the certificate of a service (phalanx ca issue \
                 --service) or of an administrator (phalanx ca issue --admin)"
            ),
            Self::ServiceId(subject) => write!(
                f,
                "{subject} does not name a service: a service is 1 to 63 lower-case letters, digits, dots and hyphens"
            ),
            Self::Status(caller) => write!(
                f,
                "{caller} may not see the state of the registry; use an administrator's certificate (phalanx ca issue \
                 --admin)"
            ),
            Self::Backup(caller) => write!(
                f,
                "{caller} may not save the registry; use an administrator's certificate (phalanx ca issue --admin)"
            ),
            Self::UnknownUser(user) => write!(
                f,
                "user {user} of this host is no service of the registry; add `{user} = \"SERVICE\"` to \
                 [registry.clients] in the configuration of the node"
            ),
        }
    }
}

impl core::error::Error for RegistryDenial {}

impl RegistryCaller {
    /// The caller that the holder of a certificate is, at the registry of the node `own`.
    ///
    /// # Errors
    /// Returns an error if the holder is another node, or if its name is not the id of a service.
    pub fn of(subject: &Subject, own: &Subject) -> Result<Self, RegistryDenial> {
        match subject.role() {
            CertificateRole::Admin => Ok(Self::Administrator),
            CertificateRole::Node if subject.id() == own.id() => Ok(Self::Node),
            CertificateRole::Node => Err(RegistryDenial::OtherNode(subject.clone())),
            CertificateRole::Service => match ObjectName::service(subject.id().as_str()) {
                Ok(name) => Ok(Self::Service(name.id().to_owned())),
                Err(_) => Err(RegistryDenial::ServiceId(subject.clone())),
            },
        }
    }

    /// Whether the caller may write an object.
    #[must_use]
    pub fn may_write(&self, name: &ObjectName) -> bool {
        match self {
            Self::Administrator | Self::Node => true,
            Self::Service(service) => name.of_service() == Some(service),
        }
    }

    /// Whether the caller may read an object.
    #[must_use]
    pub fn sees(&self, object: &Object) -> bool {
        match self {
            Self::Administrator | Self::Node => true,
            Self::Service(service) => object
                .name
                .of_service()
                .is_none_or(|owner| owner == service || object.metadata.audience.admits(service)),
        }
    }

    /// Whether the caller may see the state of the registry.
    ///
    /// # Errors
    /// Returns an error if the caller is a service.
    pub fn may_see_status(&self) -> Result<(), RegistryDenial> {
        match self {
            Self::Administrator | Self::Node => Ok(()),
            Self::Service(_) => Err(RegistryDenial::Status(self.clone())),
        }
    }

    /// Whether the caller may save the whole registry.
    ///
    /// # Errors
    /// Returns an error if the caller is a service.
    pub fn may_back_up(&self) -> Result<(), RegistryDenial> {
        match self {
            Self::Administrator | Self::Node => Ok(()),
            Self::Service(_) => Err(RegistryDenial::Backup(self.clone())),
        }
    }

    /// A number that callers who see the same objects share. It becomes part of the scope of their watches.
    #[must_use]
    pub fn scope_hash(&self) -> u64 {
        match self {
            Self::Administrator | Self::Node => 0,
            Self::Service(service) => hash_bytes(service.as_bytes()),
        }
    }
}

impl core::str::FromStr for RegistryCaller {
    type Err = &'static str;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "administrator" => Ok(Self::Administrator),
            "node" => Ok(Self::Node),
            _ => {
                let service = text.strip_prefix("service/");
                let name = service.and_then(|service| ObjectName::service(service).ok());
                let service = name.map(|name| Self::Service(name.id().to_owned()));
                service.ok_or("is not a caller of a registry")
            }
        }
    }
}

impl fmt::Display for RegistryCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator => f.write_str("administrator"),
            Self::Node => f.write_str("node"),
            Self::Service(service) => write!(f, "service/{service}"),
        }
    }
}

/// The services of the users of the registry's host, whose programs need no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalUsers {
    services: BTreeMap<u32, String>,
}

impl LocalUsers {
    /// The services of these users, by the numbers of the operating system.
    #[must_use]
    pub const fn new(services: BTreeMap<u32, String>) -> Self {
        Self { services }
    }

    /// The users that have a service.
    pub fn users(&self) -> impl Iterator<Item = u32> {
        self.services.keys().copied()
    }

    /// The caller that a program of a user is.
    ///
    /// # Errors
    /// Returns an error if the user has no service.
    pub fn caller(&self, user: u32) -> Result<RegistryCaller, RegistryDenial> {
        let service = self.services.get(&user).cloned();
        let caller = service.map(RegistryCaller::Service);
        caller.ok_or(RegistryDenial::UnknownUser(user))
    }
}

/// The objects that a caller may read.
#[derive(Clone, Copy, Debug)]
pub struct VisibleObjects<'a> {
    objects: &'a ObjectMap,
    caller: &'a RegistryCaller,
}

impl<'a> VisibleObjects<'a> {
    /// The objects among these that a caller may read.
    #[must_use]
    pub const fn new(objects: &'a ObjectMap, caller: &'a RegistryCaller) -> Self {
        Self { objects, caller }
    }

    /// The object of a name; none if it does not exist for the caller.
    #[must_use]
    pub fn get(&self, name: &ObjectName) -> Option<&'a Arc<Object>> {
        let object = self.objects.get(name);
        object.filter(|object| self.caller.sees(object))
    }

    /// The objects whose names begin with a text, in the order of their names.
    pub fn with_prefix(&self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        let caller = self.caller;
        let objects = self.objects.with_prefix(prefix);
        objects.filter(move |object| caller.sees(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::object::tests::object;
    use crate::registry::value::ObjectTable;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    fn shared(name: &str, with: &[&str]) -> Object {
        let mut it = object(name, ObjectTable::new());
        it.metadata.audience = it.metadata.audience.with(with.iter().copied());
        it
    }

    #[test]
    fn a_certificate_makes_a_caller() {
        let own = subject("spiffe://m/node/a");
        let of = |text: &str| RegistryCaller::of(&subject(text), &own);
        assert_eq!(of("spiffe://m/admin/x"), Ok(RegistryCaller::Administrator));
        assert_eq!(of("spiffe://m/node/a"), Ok(RegistryCaller::Node));
        let service = RegistryCaller::Service("shop.example".to_owned());
        assert_eq!(of("spiffe://m/service/shop.example"), Ok(service));
        let other = of("spiffe://m/node/b").unwrap_err().to_string();
        assert!(other.contains("phalanx ca issue --service"), "{other}");
        let denied = of("spiffe://m/service/shop_1").unwrap_err().to_string();
        assert!(denied.contains("does not name a service"), "{denied}");
    }

    #[test]
    fn a_service_writes_what_belongs_to_it_and_sees_its_own_regions_and_what_is_shared_with_it() {
        let shop = RegistryCaller::Service("shop".to_owned());
        for (name, writes) in [
            ("regions/eu", false),
            ("services/shop", true),
            ("services/shop/deployments/eu", true),
            ("services/shop.b", false),
            ("//shop/orders/1", true),
            ("//shopping/orders/1", false),
        ] {
            assert_eq!(shop.may_write(&name.parse().unwrap()), writes, "{name}");
            assert!(RegistryCaller::Administrator.may_write(&name.parse().unwrap()));
            let sees = writes || name == "regions/eu";
            assert_eq!(shop.sees(&shared(name, &[])), sees, "{name}");
            assert!(shop.sees(&shared(name, &["mail", "shop"])), "{name}");
            assert!(shop.sees(&shared(name, &["*"])), "{name}");
            assert!(RegistryCaller::Node.sees(&shared(name, &[])), "{name}");
        }
        assert!(shop.may_see_status().is_err() && RegistryCaller::Node.may_see_status().is_ok());
    }

    #[test]
    fn a_local_program_is_the_service_of_its_user() {
        let users = LocalUsers::new([(1_000, "shop".to_owned())].into());
        let shop = RegistryCaller::Service("shop".to_owned());
        assert_eq!(users.caller(1_000), Ok(shop));
        let unknown = users.caller(0).unwrap_err().to_string();
        assert!(
            unknown.contains("add `0 = \"SERVICE\"` to [registry.clients]"),
            "{unknown}"
        );
    }

    #[test]
    fn objects_that_a_caller_may_not_read_do_not_exist_for_it() {
        let mut objects = ObjectMap::default();
        for (name, with) in [
            ("services/mail", &["shop"][..]),
            ("services/shop", &[]),
            ("services/store", &[]),
        ] {
            objects.insert(Arc::new(shared(name, with)));
        }
        let shop = RegistryCaller::Service("shop".to_owned());
        let visible = VisibleObjects::new(&objects, &shop);
        assert_eq!(visible.get(&"services/store".parse().unwrap()), None);
        let names = visible.with_prefix("services/");
        let names: Vec<_> = names.map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["services/mail", "services/shop"]);
    }
}
