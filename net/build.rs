//! Compiles the protocol definitions, without an installed protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = [
        "proto/mesh.proto",
        "proto/channels.proto",
        "proto/registry.proto",
        "proto/registry_store.proto",
    ];
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(protox::compile(files, ["proto"])?)?;
    Ok(())
}
