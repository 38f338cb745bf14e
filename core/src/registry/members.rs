//! The members of the mesh that announce registries: the addresses at which a registry dials the others, and the registry that
//! a process without one uses.
//!
//! An announcement proves nothing. The far end of a connection proves by its certificate that it is the registry of a
//! region, and an attempt that fails is followed by one at the next member of the region.
//!
//! Bounds: [`REGIONS_MAX`] other regions, [`MEMBERS_MAX`] members of each; further ones are left out, in the order of
//! names.

use super::name::RegionId;
use super::region_logs::REGIONS_MAX;
use crate::gossip::Status;
use crate::identity::NodeId;
use crate::topology::record::{Content, Service};
use core::net::SocketAddr;
use std::collections::BTreeMap;

/// The service of the mesh that a registry announces.
pub const REGISTRY_SERVICE: &str = "phalanx.registry";
/// The version of [`REGISTRY_SERVICE`].
pub const REGISTRY_VERSION: &str = "1";
/// The entry of a node's metadata that names its region.
pub const REGION_ENTRY: &str = "region";
/// The entry of a node's metadata that names the primary region of its registry.
pub const PRIMARY_ENTRY: &str = "registry.primary";
/// Maximum number of members of a region that are considered.
pub const MEMBERS_MAX: usize = 16;

/// A member that announces the registry of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryMember {
    /// The member.
    pub id: NodeId,
    /// The region.
    pub region: RegionId,
    /// The region that the member's registry takes for the primary one, if it says so.
    pub primary: Option<RegionId>,
    /// The address that the member advertises.
    pub address: SocketAddr,
    /// Whether no path leads to the member at present.
    is_suspect: bool,
}

impl RegistryMember {
    /// The registry that a member announces; none if it announces none that can be dialled.
    #[must_use]
    pub fn of(id: &NodeId, status: Status, content: &Content) -> Option<Self> {
        let service = Service {
            name: REGISTRY_SERVICE.to_owned(),
            version: REGISTRY_VERSION.to_owned(),
        };
        let is_suspect = match status {
            Status::Alive => false,
            Status::Suspect | Status::Down => true,
            Status::Left => return None,
        };
        let entry = |name| content.metadata.get(name)?.parse::<RegionId>().ok();
        content.services.get(&service)?;
        Some(Self {
            id: id.clone(),
            region: entry(REGION_ENTRY)?,
            primary: entry(PRIMARY_ENTRY),
            address: content.address?,
            is_suspect,
        })
    }
}

/// The members that announce registries, by region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryMembers {
    regions: BTreeMap<RegionId, Vec<RegistryMember>>,
}

impl RegistryMembers {
    /// These members. In each region, members that are alive come first, and then the order is that of their ids.
    pub fn new(members: impl IntoIterator<Item = RegistryMember>) -> Self {
        let mut regions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for member in members {
            let region = member.region.clone();
            if regions.len() <= REGIONS_MAX || regions.contains_key(&region) {
                regions.entry(region).or_default().push(member);
            }
        }
        for members in regions.values_mut() {
            members.sort_by(|a, b| (a.is_suspect, &a.id).cmp(&(b.is_suspect, &b.id)));
            members.truncate(MEMBERS_MAX);
        }
        Self { regions }
    }

    /// All members, by region.
    pub fn iter(&self) -> impl Iterator<Item = &RegistryMember> {
        self.regions.values().flatten()
    }

    /// The members of a region, the first choice first.
    #[must_use]
    pub fn of(&self, region: &RegionId) -> &[RegistryMember] {
        self.regions.get(region).map_or(&[], Vec::as_slice)
    }

    /// The member at which a region is dialled after this number of failures; none if no member announces the region.
    #[must_use]
    pub fn choose(&self, region: &RegionId, failures: u32) -> Option<&RegistryMember> {
        let members = self.of(region);
        let turn = usize::try_from(failures).ok()?;
        members.get(turn.checked_rem(members.len())?)
    }

    /// The registry that a process without one uses: that of its own region, else that of the primary region that the
    /// members name, else the first one.
    #[must_use]
    pub fn nearest(&self, own: Option<&RegionId>) -> Option<&RegistryMember> {
        let of_own = own.and_then(|own| self.of(own).first());
        let primaries = self.iter().filter_map(|it| it.primary.as_ref());
        let of_primary = || primaries.filter_map(|it| self.of(it).first()).next();
        of_own.or_else(of_primary).or_else(|| self.iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(region: &str, port: u16) -> Content {
        let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Content {
            nickname: String::new(),
            kind: String::new(),
            address: Some(([127, 0, 0, 1], port).into()),
            joined: crate::time::Wall(0),
            services: ["phalanx.registry/1".parse().unwrap()].into(),
            metadata: [entry(REGION_ENTRY, region), entry(PRIMARY_ENTRY, "eu")].into(),
        }
    }

    fn member(id: &str, status: Status, region: &str, port: u16) -> Option<RegistryMember> {
        RegistryMember::of(&NodeId::new(id).unwrap(), status, &content(region, port))
    }

    #[test]
    fn a_region_is_dialled_at_its_live_members_in_turn() {
        let region: RegionId = "us".parse().unwrap();
        let members = [
            member("a", Status::Down, "us", 1),
            member("b", Status::Alive, "us", 2),
            member("c", Status::Alive, "us", 3),
            member("d", Status::Left, "us", 4),
        ];
        let members = RegistryMembers::new(members.into_iter().flatten());
        let turns = (0..4).filter_map(|failures| members.choose(&region, failures));
        let turns: Vec<_> = turns.map(|it| it.id.as_str()).collect();
        assert_eq!(turns, ["b", "c", "a", "b"]);
        assert_eq!(members.choose(&"eu".parse().unwrap(), 0), None);
    }

    #[test]
    fn a_member_that_cannot_be_dialled_or_names_no_region_is_left_out() {
        let id = NodeId::new("a").unwrap();
        let of = |content: &Content| RegistryMember::of(&id, Status::Alive, content);
        let good = content("eu", 1);
        assert!(of(&good).is_some());
        let behind_nat = Content {
            address: None,
            ..good.clone()
        };
        let other = Content {
            services: ["greeter/1".parse().unwrap()].into(),
            ..good
        };
        assert_eq!((of(&behind_nat), of(&other)), (None, None));
        assert_eq!(of(&content("No region", 1)), None);
    }

    #[test]
    fn a_process_uses_the_registry_of_its_region_or_of_the_primary_one() {
        let members = [
            member("a", Status::Alive, "ap", 1),
            member("b", Status::Alive, "eu", 2),
            member("c", Status::Alive, "us", 3),
        ];
        let members = RegistryMembers::new(members.into_iter().flatten());
        let nearest = |own: &str| members.nearest(Some(&own.parse().unwrap()));
        assert_eq!(nearest("us").unwrap().id.as_str(), "c");
        assert_eq!(nearest("sa").unwrap().id.as_str(), "b");
        assert_eq!(members.nearest(None).unwrap().id.as_str(), "b");
        assert_eq!(RegistryMembers::default().nearest(None), None);
    }
}
