#!/usr/bin/env bash
# Four validators, two gateways and eight workers in network namespaces, crawling more than
# 2,000 pages while parts of the network die, and everything afterwards as if they had not.
#
#   test/net.sh        (make e2e-net builds first)
#
# During the crawl the validator that its gateway asks is killed with kill -9 and comes
# back, then the gateway itself, then the gateway's cable is unplugged for half a minute.
# Then every page is there once, the money adds up to the last anote, the validators have the
# same state, and a fifth node joins by state sync and has it too.
#
# Needs root, iproute2, nginx, curl, jq, openssl and Node; says SKIPPED where network namespaces
# cannot be made. KEEP=1 keeps what it wrote; CANTUS_CORPUS names a directory for the corpus.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machines.sh"
for program in curl jq node openssl; do command -v "$program" >/dev/null || die "$program is not installed"; done
command -v nginx >/dev/null || PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || die "nginx is not installed"
workplace net
machines_net
corpus=${CANTUS_CORPUS:-$work/corpus}
sites=(python django git postgres)
RATE=${RATE:-8} # requests a second to a site: slow enough for all that happens meanwhile

say "corpus"
"$root/test/corpus/fetch.sh" "$corpus"
. "$root/test/corpus/sites.sh"

# serve: the sites, each at an address of its own, with a sitemap of exactly the pages that
# must be in the dataset.
serve() {
  local n=0 name dir seeds=() servers= addresses=() site
  : > "$work/expected"
  mkdir -p "$work/web/tmp"
  for name in "${sites[@]}"; do
    n=$((n + 1))
    dir=$corpus/root/$(sites | awk -v n="$name" '$1 == n { print $3 }')
    site=http://$base.4.$n/
    addresses+=("$base.4.$n")
    mkdir -p "$work/web/$name"
    (cd "$dir" && find . -name '*.html' -type f -o -name '*.html' -type l) | sed 's|^\./||' |
      grep -E '^[A-Za-z0-9._/-]+$' | sort | sed "s|^|$site|" > "$work/web/$name/urls"
    cat "$work/web/$name/urls" >> "$work/expected"
    { echo '<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
      sed 's|.*|<url><loc>&</loc></url>|' "$work/web/$name/urls"
      echo '</urlset>'; } > "$work/web/$name/sitemap.xml"
    printf 'User-agent: *\nAllow: /\nSitemap: %ssitemap.xml\n' "$site" > "$work/web/$name/robots.txt"
    servers+="
  server {
    listen $base.4.$n:80;
    root $dir;
    index index.html index.en.html;
    location = /robots.txt { root $work/web/$name; }
    location = /sitemap.xml { root $work/web/$name; }
  }"
    seeds+=("$site")
  done
  machine web "${addresses[@]}"
  cat > "$work/web/nginx.conf" <<CONF
user root;
daemon off;
worker_processes 1;
pid $work/web/nginx.pid;
error_log $work/web/error.log warn;
events { worker_connections 512; }
http {
  access_log $work/web/access.log;
  client_body_temp_path $work/web/tmp; proxy_temp_path $work/web/tmp; fastcgi_temp_path $work/web/tmp;
  uwsgi_temp_path $work/web/tmp; scgi_temp_path $work/web/tmp;
  types { text/html html; text/css css; application/javascript js; text/plain txt; image/png png; image/svg+xml svg; application/xml xml; }
  default_type application/octet-stream;
  charset utf-8;
  $servers
}
CONF
  set -m
  ip netns exec "$prefix-web" nginx -p "$work/web" -c "$work/web/nginx.conf" 2>"$work/web/start.log" &
  set +m
  started+=($!)
  urls=("${seeds[@]}")
}

say "machines"
serve
found 4 2 8
mapfile -t before < <(balances)

say "crawl"
dataset=$work/dataset
set -m
spawn "$work/logs/crawl.log" cantus_home buyer crawl "${urls[@]}" --out "$dataset" --rate "$RATE" --budget 50note --epoch 20 --audit 3 \
  --json --grpc "$(grpc buyer)" --gateway "$(url g1)"
set +m
crawl=$!
started+=("$crawl")
job=$(opened "$crawl")
want=$(wc -l < "$work/expected")
logged "job $job is open at g1; the sites have $want pages in their sitemaps"
[ "$want" -ge 2000 ] || die "only $want pages to crawl"

# until_pages N: waits until the gateway has so many.
until_pages() {
  local p=0
  while :; do
    p=$(progress g1 "$job" '.counts.pages // 0')
    [ "${p:-0}" -lt "$1" ] || break
    kill -0 "$crawl" 2>/dev/null || { tail -5 "$work/logs/crawl.log" >&2; die "the crawl ended at ${p:-?} pages, before everything was broken that should be"; }
    [ "$(progress g1 "$job" '.phase')" != settling ] || die "the crawl was too quick: at ${p:-?} pages not everything was broken yet; lower RATE"
    sleep 0.3
  done
  pages=$p
}

until_pages 200
kill9 v1
logged "at $pages pages: kill -9 of validator v1, which gateway g1 asks"
sleep 10
start v1
await_height v1 "$(height v2)"
logged "v1 is back, at block $(height v1)"

until_pages 600
kill9 g1
logged "at $pages pages: kill -9 of gateway g1, which runs the crawl"
sleep 10
start g1
await_gateway g1
logged "g1 is back"

until_pages $((pages + 200))
unplug g1
logged "at $pages pages: g1's cable is unplugged"
sleep 30
plug g1
logged "it is plugged in again"
until_pages $((pages + 100))
logged "the crawl goes on: $pages pages"

rc=0
for _ in $(seq "${CRAWL_SECONDS:-600}"); do kill -0 "$crawl" 2>/dev/null || break; sleep 1; done
if kill -0 "$crawl" 2>/dev/null; then
  progress g1 "$job" . >&2
  die "the crawl is not done after ${CRAWL_SECONDS:-600} s"
fi
wait "$crawl" || rc=$?
[ $rc = 0 ] || { tail -5 "$work/logs/crawl.log" >&2; die "the crawl failed: exit code $rc"; }
logged "the crawl is audited, settled, paid and written"
tail -1 "$work/logs/crawl.log" | cut -c1-300 || true

say "every page, once"
once "$dataset" > "$work/got"
missing=$(comm -23 <(sort -u "$work/expected") "$work/got" | wc -l)
echo "$(wc -l < "$work/got") addresses with status 200, none twice; $want were listed, $missing of these are missing"
[ "$missing" = 0 ] || { comm -23 <(sort -u "$work/expected") "$work/got" | head -5 >&2; die "$missing pages are missing"; }
logged "every page is there, once: $(wc -l < "$work/got")"
cantus_on buyer verify "$dataset" --grpc "$(grpc buyer)"
logged "cantus verify: ok"

say "the money"
money "$job"
mapfile -t after < <(balances)
# Operators send nothing meanwhile; their workers may, at their cost, where a gateway that is
# dead or cut off does not bring a verdict to the ledger in time.
spare=0
if offers start '--ledger strings'; then spare=1000000000000000000; fi
node -e '
  const [file, spare, ...b] = process.argv.slice(1);
  const n = b.length / 2, job = JSON.parse(require("fs").readFileSync(file));
  let gained = 0n;
  for (let i = 0; i < n; i++) gained += BigInt(b[n + i]) - BigInt(b[i]);
  const due = BigInt(job.workers) + BigInt(job.auditors), fees = due - gained;
  console.log(`the job paid workers and auditors ${due} anote, the operators gained ${gained}, ${fees} went for fees`);
  if (fees < 0n || fees > BigInt(spare)) process.exit(1);
' "$work/job-$job.json" "$spare" "${before[@]}" "${after[@]}" || die "the operators' balances do not match what the job paid"
books
logged "the money adds up to the last anote"

say "the validators"
same_state "${validators[@]}"

say "a fifth node joins by state sync"
join_by_state_sync v5
logged "v5 has joined by state sync; its first block is $earliest"
same_state "${validators[@]}" v5

say "what happened when"
printf '%s\n' "${events[@]}"
say "e2e-net: ok"
