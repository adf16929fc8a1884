# The shape of nixpkgs' cross compilation, with nothing but `/bin/sh`: `pkgsCross.<platform>.<package>` is built on x86_64-linux for
# another platform, by a compiler that all packages of that platform share; what runs there is tried on a machine of that platform.
# With real nixpkgs the attributes are the same: `legacyPackages = nixpkgs.legacyPackages`.
{
  description = "cross compilation: two packages for two platforms, a machine, and a test on Arm";

  outputs =
    { self }:
    let
      system = "x86_64-linux";
      package = packageOn system;
      packageOn =
        system: name: inputs:
        derivation {
          inherit name system inputs;
          builder = "/bin/sh";
          args = [
            "-c"
            ''
              words=
              for input in $inputs; do
                read -r word < "$input"
                words="$words''${words:+, }$word"
              done
              echo "$name''${words:+($words)}" > "$out"
            ''
          ];
        };
      packagesFor =
        platform:
        let
          compiler = package "cc-${platform}" [ ];
          hello = package "hello-${platform}" [ compiler ];
        in
        {
          inherit hello;
          git = package "git-${platform}" [
            compiler
            hello
          ];
        };
      cross = {
        musl64 = packagesFor "musl64";
        aarch64-multiplatform = packagesFor "aarch64-multiplatform";
      };
    in
    {
      legacyPackages.${system} = {
        pkgsCross = cross;
        # Nobody selects this, so it is never evaluated.
        broken = throw "not evaluated";
      };
      # Built by an Arm machine, which has what x86_64 compiled from the job before.
      checks.aarch64-linux.hello = packageOn "aarch64-linux" "hello-runs" [ cross.aarch64-multiplatform.hello ];
      nixosConfigurations.router.config.system.build.toplevel = package "router" [ cross.aarch64-multiplatform.git ];
    };
}
