{
  description = "nixdag turns a Nix flake into a CI pipeline in which nothing is built twice";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      perSystem = function: nixpkgs.lib.genAttrs systems (system: function nixpkgs.legacyPackages.${system});

      # 20260822101530 is the form that Nix has.
      date =
        let
          part = from: length: builtins.substring from length (self.lastModifiedDate or "19700101000000");
        in
        "${part 0 4}-${part 4 2}-${part 6 2}";
      # A tree with changes is no revision.
      revision = if self ? shortRev then "${builtins.substring 0 12 self.rev} ${date}" else "";
      manifest = builtins.fromTOML (builtins.readFile ./Cargo.toml);

      # What the program is made of; Cargo wants to see its benchmarks too.
      source = builtins.path {
        name = "nixdag-source";
        path = ./.;
        filter =
          path: _type:
          let
            inside = builtins.substring (builtins.stringLength (toString ./.) + 1) (-1) (toString path);
            below = folder: inside == folder || builtins.match "${folder}/.*" inside != null;
          in
          builtins.any below [
            "Cargo.toml"
            "Cargo.lock"
            "github"
            "gitlab"
            "orb"
            "src"
            "tests"
          ];
      };

      nixdag =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = "nixdag";
          version = manifest.package.version;
          src = source;
          cargoLock.lockFile = ./Cargo.lock;
          NIXDAG_REVISION = revision;
          # They mount stores of their own, which no sandbox allows: `.ci/run` runs them.
          doCheck = false;
          nativeBuildInputs = [ pkgs.buildPackages.installShellFiles ];
          postInstall = pkgs.lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
            for shell in bash fish zsh; do
              $out/bin/nixdag completions $shell > nixdag.$shell
            done
            installShellCompletion nixdag.bash nixdag.fish --zsh --name _nixdag nixdag.zsh
            $out/bin/nixdag man > nixdag.1
            for command in plan init graph explain generate build worker report history forget collect comment continue check doctor schema completions man; do
              $out/bin/nixdag man $command > nixdag-$command.1
            done
            installManPage nixdag*.1
          '';
          meta = {
            description = manifest.package.description;
            license = with pkgs.lib.licenses; [
              mit
              asl20
            ];
            mainProgram = "nixdag";
            platforms = systems;
          };
        };
      # One static file on Linux, which CI images of every kind run.
      static = pkgs: if pkgs.stdenv.hostPlatform.isLinux then nixdag pkgs.pkgsStatic else nixdag pkgs;
    in
    {
      packages = perSystem (
        pkgs:
        let
          package = static pkgs;
        in
        {
          nixdag = package;
          default = package;
        }
      );

      apps = perSystem (
        pkgs:
        let
          app = {
            type = "app";
            program = "${self.packages.${pkgs.stdenv.hostPlatform.system}.nixdag}/bin/nixdag";
            meta.description = manifest.package.description;
          };
        in
        {
          nixdag = app;
          default = app;
        }
      );

      overlays.default = final: prev: { nixdag = static final; };

      checks = perSystem (
        pkgs:
        let
          package = self.packages.${pkgs.stdenv.hostPlatform.system}.nixdag;
        in
        {
          # It runs, and says what it is.
          runs = pkgs.runCommand "nixdag-runs" { } ''
            ${package}/bin/nixdag --version | grep -F 'nixdag ${manifest.package.version}'
            ${package}/bin/nixdag plan --help > help
            mv help $out
          '';
        }
      );

      devShells = perSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.cargo-nextest
            pkgs.clippy
            pkgs.rustc
            pkgs.rustfmt
            pkgs.shellcheck
            pkgs.bats
            pkgs.yamllint
            pkgs.check-jsonschema
            pkgs.jq
          ];
        };
      });
    };
}
