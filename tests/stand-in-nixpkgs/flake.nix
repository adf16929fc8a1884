# A stand-in for nixpkgs where there is no network: as much of it as examples/demo uses, built with the host's own cc.
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
        in
        {
          stdenv = {
            inherit mkDerivation;
            hostPlatform = { inherit system; };
          };
          runCommand =
            name: attributes: command:
            mkDerivation (attributes // { inherit name; installPhase = command; });
          mkShell = { ... }: mkDerivation { name = "shell"; installPhase = "touch $out"; };
        };
    in
    {
      lib = { inherit genAttrs; };
      legacyPackages = genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] packages;
    };
}
