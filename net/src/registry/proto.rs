//! Types and services generated from the protocol definitions, `net/proto/registry.proto`,
//! `net/proto/registry_link.proto` and `net/proto/registry_store.proto`.

tonic::include_proto!("phalanx.registry.v1");
