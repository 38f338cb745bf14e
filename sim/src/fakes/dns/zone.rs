//! Zones: the records and the behaviour of an authority.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// CNAME: the name is an alias of another name.
    Alias(String),
}

impl RecordData {
    /// The address, if it is of this type.
    pub(super) fn address(&self, kind: RecordType) -> Option<IpAddr> {
        match (self, kind) {
            (Self::A(address), RecordType::A) => Some((*address).into()),
            (Self::Aaaa(address), RecordType::Aaaa) => Some((*address).into()),
            (Self::A(_) | Self::Aaaa(_) | Self::Alias(_), _) => None,
        }
    }
}

/// A record. Names are absolute, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRecord {
    /// The name.
    pub name: String,
    /// The time to live in seconds.
    pub ttl: u32,
    /// The content.
    pub data: RecordData,
}

/// How an authority behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The authority answers.
    #[default]
    Answers,
    /// The authority fails: clients get SERVFAIL.
    Fails,
    /// The authority never answers.
    Silent,
}

/// A zone: a name and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// The zone's name.
    pub name: String,
    /// The time for which the absence of a name or type is cached, in seconds.
    pub negative_ttl: u32,
    /// The records, in the order in which the authority returns them.
    pub records: Vec<ResourceRecord>,
    /// How the authority behaves.
    pub state: State,
}

/// An authority's statement about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthorityAnswer {
    /// The name is an alias of another name, for a number of seconds.
    Alias(String, u32),
    /// The name has these addresses, for a number of seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The name has no records of the type.
    NoData(u32),
    /// The name does not exist.
    NoName(u32),
}

impl Zone {
    /// Whether a name in lower case belongs to the zone.
    pub(super) fn holds(&self, name: &str) -> bool {
        let above = name.strip_suffix(&self.name.to_ascii_lowercase());
        above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The answer for a name in lower case.
    pub(super) fn say(&self, name: &str, kind: RecordType) -> AuthorityAnswer {
        let named = || {
            let records = self.records.iter();
            records.filter(|record| record.name.eq_ignore_ascii_case(name))
        };
        let alias = named().find_map(|record| match &record.data {
            RecordData::Alias(target) => Some(AuthorityAnswer::Alias(
                target.to_ascii_lowercase(),
                record.ttl,
            )),
            RecordData::A(_) | RecordData::Aaaa(_) => None,
        });
        if let Some(alias) = alias {
            return alias;
        }
        let addresses: Vec<IpAddr> = named().filter_map(|it| it.data.address(kind)).collect();
        let ttl = named()
            .filter(|record| record.data.address(kind).is_some())
            .map(|record| record.ttl)
            .min();
        if let Some(ttl) = ttl {
            return AuthorityAnswer::Addresses(addresses, ttl);
        }
        let below = format!(".{name}");
        let exists = self.records.iter().any(|record| {
            let known = record.name.to_ascii_lowercase();
            known == name || known.ends_with(&below)
        });
        if exists || name == self.name {
            AuthorityAnswer::NoData(self.negative_ttl)
        } else {
            AuthorityAnswer::NoName(self.negative_ttl)
        }
    }
}
