# The demo: four C packages on nixpkgs, checks that run them, a shell to work on them.
#
#   package-a ──▶ package-b ──┐
#                             ├──▶ package-d
#   package-c ────────────────┘
{
  description = "nixdag demo: four C packages that build on each other";

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

      # A library and a program from src/NAME/{main.c,NAME.c,NAME.h}, linked with the libraries that it builds on.
      cPackage =
        pkgs: name: inputs:
        let
          object = builtins.replaceStrings [ "-" ] [ "_" ] name;
        in
        pkgs.stdenv.mkDerivation {
          pname = name;
          version = "1.0";
          src = ./src + "/${name}";
          propagatedBuildInputs = inputs;
          buildPhase = ''
            runHook preBuild
            $CC -Wall -Werror -O2 -c ${object}.c -o ${object}.o
            $AR rcs lib${object}.a ${object}.o
            $CC -Wall -Werror -O2 main.c -o ${name} -L. -l${object} ${
              builtins.concatStringsSep " " (map (input: "-l${input.passthru.object}") (allInputs inputs))
            }
            runHook postBuild
          '';
          installPhase = ''
            runHook preInstall
            mkdir -p $out/bin $out/lib $out/include
            cp ${name} $out/bin/
            cp lib${object}.a $out/lib/
            cp ${object}.h $out/include/
            runHook postInstall
          '';
          passthru = { inherit object inputs; };
        };
      # A static library brings none of those that it was made with: name them all, users first.
      allInputs = inputs: builtins.concatMap (input: [ input ] ++ allInputs input.passthru.inputs) inputs;
    in
    {
      packages = perSystem (
        pkgs:
        let
          package-a = cPackage pkgs "package-a" [ ];
          package-b = cPackage pkgs "package-b" [ package-a ];
          package-c = cPackage pkgs "package-c" [ ];
          package-d = cPackage pkgs "package-d" [
            package-b
            package-c
          ];
        in
        {
          inherit
            package-a
            package-b
            package-c
            package-d
            ;
          default = package-d;
        }
      );

      checks = perSystem (
        pkgs:
        let
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        in
        {
          # Each program says what it is made of.
          b-uses-a = pkgs.runCommand "b-uses-a" { } ''
            test "$(${packages.package-b}/bin/package-b)" = "b on a"
            touch $out
          '';
          d-uses-all = pkgs.runCommand "d-uses-all" { } ''
            test "$(${packages.package-d}/bin/package-d)" = "d on b on a and c"
            touch $out
          '';
        }
      );

      devShells = perSystem (pkgs: {
        default = pkgs.mkShell { inputsFrom = builtins.attrValues self.packages.${pkgs.stdenv.hostPlatform.system}; };
      });
    };
}
