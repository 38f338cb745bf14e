//! The certificates of a run.
//!
//! The simulated calendar of TLS begins at 1970-01-01, so that is when they become valid: earlier dates cannot be
//! encoded, later ones have not come.

use phalanx_core::time::Wall;
use phalanx_net::identity::{Authority, Identity, PemParts, Subject, Validity};
use phalanx_sim::mesh::life::MESH;
use phalanx_sim::scenario::Host;

const VALIDITY: Validity = Validity {
    not_before: Wall(0),
    not_after: Wall(50 * 365 * 86_400),
};

/// One identity for each host; a clone has its own key and the other's id.
pub(crate) fn issue(hosts: &[Host]) -> Result<Vec<Identity>, String> {
    let failed = |error| format!("the certificates cannot be made: {error}");
    let (authority, _) = Authority::new(MESH, VALIDITY).map_err(failed)?;
    let identity = |host: &Host| {
        let subject = Subject::node(MESH, host.id.clone())?;
        let issued = authority.issue(&subject, VALIDITY)?;
        let parts = PemParts::issued(&issued, authority.certificate_pem());
        Identity::from_pem(&parts, &subject, VALIDITY.not_before)
    };
    hosts
        .iter()
        .map(identity)
        .collect::<Result<_, _>>()
        .map_err(failed)
}
