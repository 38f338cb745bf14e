//! The address under which a process reaches a service, and the reason for the choice.
//!
//! In this order: the labelled domain that the process asks for; the private domain of the deployment in the process's
//! own region, if both are on one local network; the public domain of that deployment; the regional domain,
//! `REGION.DOMAIN`; the global domain. A disabled deployment is left out.

use super::ServiceEnvironment;
use crate::registry::name::ObjectName;
use crate::registry::object::Object;
use crate::registry::value::ObjectValue;

/// Why an address was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressReason {
    /// The process asked for the label.
    Label,
    /// The deployment is on the local network of the process.
    Private,
    /// The deployment in the region of the process has a public domain.
    Public,
    /// The deployment in the region of the process has the regional domain of its service.
    Regional,
    /// The service has no enabled deployment in the region of the process.
    Global,
}

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The domain.
    pub domain: String,
    /// The reason.
    pub reason: AddressReason,
}

/// Reason why a service has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// The service does not exist.
    UnknownService,
    /// The service has no domain of this label.
    UnknownLabel,
    /// Neither the service nor its deployment in the region has a domain.
    NoDomain,
}

impl ServiceEnvironment {
    /// The address of a service, by a label if one is given.
    ///
    /// # Errors
    /// Returns the reason if there is no address.
    pub fn address(&self, service: &str, label: Option<&str>) -> Result<ServiceAddress, NoAddress> {
        let record = ObjectName::service(service).ok();
        let record = record.and_then(|name| self.get(&name));
        let record = record.ok_or(NoAddress::UnknownService)?;
        let of = |domain: &str, reason| ServiceAddress {
            domain: domain.to_owned(),
            reason,
        };
        if let Some(label) = label {
            let labelled = record.body.get("labelled_domains");
            let domain = labelled.and_then(|it| it.as_table()?.get(label)?.as_text());
            let domain = domain.ok_or(NoAddress::UnknownLabel)?;
            return Ok(of(domain, AddressReason::Label));
        }
        let region = self.config().region.as_str();
        let global = record.text("global_domain");
        let name = format!("{}/deployments/{region}", record.name).parse().ok();
        let deployment = name.and_then(|name: ObjectName| self.get(&name));
        let deployment = deployment.filter(|it| !is_disabled(it));
        if let Some(deployment) = deployment {
            let network = deployment.text("local_network_id");
            let own = self.config().deployment_fields.get("local_network_id");
            let is_near = own.and_then(ObjectValue::as_text) == Some(network);
            let (private, public) = (
                deployment.text("private_domain"),
                deployment.text("public_domain"),
            );
            if is_near && !network.is_empty() && !private.is_empty() {
                return Ok(of(private, AddressReason::Private));
            }
            if !public.is_empty() {
                return Ok(of(public, AddressReason::Public));
            }
            if !global.is_empty() {
                let regional = format!("{region}.{global}");
                return Ok(of(&regional, AddressReason::Regional));
            }
        }
        if global.is_empty() {
            return Err(NoAddress::NoDomain);
        }
        Ok(of(global, AddressReason::Global))
    }
}

fn is_disabled(deployment: &Object) -> bool {
    deployment.body.get("is_disabled") == Some(&ObjectValue::Bool(true))
}
