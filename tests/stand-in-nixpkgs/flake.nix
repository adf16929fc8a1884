# A stand-in for nixpkgs where there is no network: as much of it as examples/demo uses, built with the host's own cc, and as much
# as nixdag's own flake uses, for evaluation alone.
# It wants `sandbox = false`, as containers on CI have it.
{
  outputs =
    { self }:
    let
      genAttrs =
        names: function:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = function name;
          }) names
        );
      packages =
        system:
        let
          mkDerivation =
            {
              passthru ? { },
              src ? "",
              buildPhase ? "",
              installPhase ? "",
              propagatedBuildInputs ? [ ],
              ...
            }@attributes:
            derivation (
              {
                inherit
                  system
                  src
                  buildPhase
                  installPhase
                  ;
                name = attributes.name or "${attributes.pname}-${attributes.version}";
                builder = "/bin/sh";
                args = [ ./setup.sh ];
                # What is propagated reaches the users of users.
                inputs = builtins.concatMap (input: [ input ] ++ (input.passthru.allInputs or [ ])) propagatedBuildInputs;
              }
            )
            // {
              passthru = passthru // {
                allInputs = builtins.concatMap (input: [ input ] ++ (input.passthru.allInputs or [ ])) propagatedBuildInputs;
              };
            };
          pkgsStatic = packages system;
          tools = genAttrs [
            "bats"
            "cargo"
            "cargo-nextest"
            "check-jsonschema"
            "clippy"
            "installShellFiles"
            "jq"
            "rustc"
            "rustfmt"
            "shellcheck"
            "yamllint"
          ] (name: mkDerivation { inherit name; });
        in
        rec {
          stdenv = rec {
            inherit mkDerivation;
            hostPlatform = {
              inherit system;
              isLinux = builtins.match ".*-linux" system != null;
            };
            buildPlatform = hostPlatform // {
              canExecute = platform: platform.system == system;
            };
          };
          inherit lib pkgsStatic;
          buildPackages = tools;
          # Evaluated, and not built: there is no Cargo here.
          rustPlatform.buildRustPackage =
            {
              src,
              cargoLock,
              nativeBuildInputs,
              NIXDAG_REVISION,
              meta,
              ...
            }@attributes:
            mkDerivation {
              inherit (attributes) pname version;
              inherit src;
              buildPhase = "# ${NIXDAG_REVISION} ${builtins.hashFile "sha256" cargoLock.lockFile}";
              installPhase = "exit 1";
            }
            // {
              inherit meta;
            };
          runCommand =
            name: attributes: command:
            mkDerivation (attributes // { inherit name; installPhase = command; });
          mkShell =
            {
              packages ? [ ],
              ...
            }:
            mkDerivation {
              name = "shell";
              propagatedBuildInputs = packages;
              installPhase = "touch $out";
            };
        }
        // tools;
      lib = {
        inherit genAttrs;
        optionalString = condition: text: if condition then text else "";
        licenses = genAttrs [ "mit" "asl20" ] (name: {
          spdxId = name;
        });
      };
    in
    {
      inherit lib;
      legacyPackages = genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] packages;
    };
}
