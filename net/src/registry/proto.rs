//! Types and services generated from the protocol definitions, `net/proto/registry.proto`,
//! `registry_environment.proto`, `registry_kinds.proto`, `registry_link.proto` and `registry_store.proto` beside it.

tonic::include_proto!("phalanx.registry.v1");
