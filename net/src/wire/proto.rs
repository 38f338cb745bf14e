//! Types and services generated from the protocol definition, `net/proto/mesh.proto`.

tonic::include_proto!("phalanx.mesh.v1");
