# A mixed fleet, with nothing but `/bin/sh`: no inputs, no network, no compiler. What each package says shows what it was made from.
#
#   tool (x86_64-linux) ──▶ tool (aarch64-linux) ──▶ tool (aarch64-darwin)
#        │                          │
#        ├──▶ firmware              └──▶ firmware (x86_64-linux)
#        └──▶ checks.vm, which requires `kvm`
{
  description = "one plan over x86_64-linux, i686-linux, aarch64-linux and aarch64-darwin";

  outputs =
    { self }:
    let
      # Writes `name(words of the inputs)` to its output, with the shell's own commands alone.
      package =
        system: name: inputs: more:
        derivation (
          {
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
          }
          // more
        );
      tools = {
        x86_64-linux = package "x86_64-linux" "tool" [ ] { };
        i686-linux = package "i686-linux" "tool" [ ] { };
        # Each needs what another system has built.
        aarch64-linux = package "aarch64-linux" "tool" [ tools.x86_64-linux ] { };
        aarch64-darwin = package "aarch64-darwin" "tool" [ tools.aarch64-linux ] { };
      };
      linux = "x86_64-linux";
    in
    {
      packages = builtins.mapAttrs (_: tool: { inherit tool; }) tools // {
        x86_64-linux = {
          tool = tools.x86_64-linux;
          browser = package linux "browser" [ (package linux "engine" [ ] { requiredSystemFeatures = [ "big-parallel" ]; }) ] { };
          firmware = package linux "firmware" [ tools.x86_64-linux tools.aarch64-linux ] { };
          # What a package says about its own job.
          small = package linux "small" [ ] { } // {
            passthru.ci = {
              resourceClass = "small";
              timeout = "10m";
            };
          };
          never = package linux "never" [ ] { } // {
            meta.ci.disable = true;
          };
        };
      };
      checks.x86_64-linux.vm = package linux "vm" [ tools.x86_64-linux ] { requiredSystemFeatures = [ "kvm" ]; };
    };
}
