#!/usr/bin/env bash
# The library's rules that no lint of the compiler knows.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() { echo "layering: $1" >&2; failed=1; }

tree=$(cargo tree --locked -p lab-core --edges normal --prefix none --all-features)
for crate in axum clap; do
	if grep -q "^$crate v" <<<"$tree"; then complain "$crate is in lab-core's tree"; fi
done

# tests and what is for tests may
if grep -rnE 'std::env::(var|vars|home_dir)|env!\("HOME' lab-core/src --include='*.rs' | grep -vE '^lab-core/src/(testing|.*/tests\.rs:)'; then
	complain "lab-core reads the environment"
fi
if grep -rnE 'process::exit|println!|eprintln!' lab-core/src --include='*.rs'; then
	complain "lab-core prints or ends the process"
fi
if grep -rnE 'std::env::var' lab-server/src --include='*.rs' | grep -v '^lab-server/src/config'; then
	complain "lab-server reads the environment outside of config.rs"
fi
if find lab-core lab-server lab-cli tests examples -name mod.rs -path '*/src/*' | grep .; then
	complain "a module is a mod.rs; call it by its name"
fi
[ "$failed" = 0 ] && echo "layering: fine"
exit "$failed"
