#!/usr/bin/env bash
# Makes ../static/graph.min.js and ../static/graph.LICENSE.txt from the versions that package-lock.json pins.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/{package.json,package-lock.json,entry.js} "$work"
cd "$work"
npm ci --silent
npx esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none --outfile="$here/../static/graph.min.js"
for name in sigma graphology graphology-utils @sigma/node-border events; do
    version=$(node -p "require('./node_modules/$name/package.json').version")
    printf '%s %s\n\n' "$name" "$version"
    cat node_modules/$name/LICENSE*
    printf '\n----\n\n'
done >"$here/../static/graph.LICENSE.txt"
