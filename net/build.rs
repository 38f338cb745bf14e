//! Compiles the protocol definitions, without an installed protoc.

use std::path::PathBuf;

/// The definitions.
const FILES: [&str; 7] = [
    "proto/mesh.proto",
    "proto/channels.proto",
    "proto/registry.proto",
    "proto/registry_environment.proto",
    "proto/registry_kinds.proto",
    "proto/registry_store.proto",
    "proto/registry_link.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    // The bindings to HTTP are options, which the generated types do not keep.
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let path = PathBuf::from(out).join("descriptors.bin");
    std::fs::write(path, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
