{
  description = "Phalanx: a fleet mesh whose decisions are pure state machines";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forEachSystem =
        build:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = build nixpkgs.legacyPackages.${system};
          }) systems
        );
      version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).workspace.package.version;

      # Each binary is built alone, so that no feature of the simulator reaches the daemon.
      binary =
        pkgs: package: description: check:
        pkgs.rustPlatform.buildRustPackage {
          pname = package;
          inherit version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          cargoBuildFlags = [ "--package" package ];
          cargoTestFlags = [ "--package" package ];
          doCheck = check;
          meta = {
            inherit description;
            mainProgram = package;
            license = [ pkgs.lib.licenses.mit pkgs.lib.licenses.asl20 ];
            platforms = systems;
          };
        };
    in
    {
      packages = forEachSystem (
        pkgs:
        let
          phalanx = binary pkgs "phalanx" "The one tool for people" false;
          phalanxd = binary pkgs "phalanxd" "The mesh daemon" false;
          phalanx-sim-wire = binary pkgs "phalanx-sim-wire" "The production adapters on a simulated network" false;
        in
        {
          inherit phalanx phalanxd phalanx-sim-wire;
          # The tool looks for the other two beside itself.
          default = pkgs.symlinkJoin {
            name = "phalanx-${version}";
            paths = [ phalanx phalanxd phalanx-sim-wire ];
          };
        }
      );

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.rustc
            pkgs.clippy
            pkgs.rustfmt
            pkgs.cargo-deny
            pkgs.gnumake
            pkgs.nix
          ];
        };
      });

      checks = forEachSystem (pkgs: {
        core = binary pkgs "phalanx-core" "Every decision, as pure state machines" true;
        sim = binary pkgs "phalanx-sim" "The simulator" true;
        net = binary pkgs "phalanx-net" "Every side effect" true;
      });
    };
}
