#!/usr/bin/env bash
# Serves the documentation corpus with nginx on loopback, one address a site:
#
#   test/corpus/serve.sh start DIR   fetch what is missing, start nginx, print the seeds
#   test/corpus/serve.sh stop DIR    stop the nginx that start started
#   test/corpus/serve.sh pages DIR   how many HTML pages lie below the seeds
#
# The first site is at http://127.0.1.1:PORT/ and so on; PORT is a free one, or
# $CORPUS_PORT. Each site also has a host name, python.corpus.test and so on, which
# means something only to a command that runs under with-hosts.sh. start prints the
# seeds by address; DIR/seeds.names holds them by name, DIR/seeds.varying those of the
# sites whose pages differ from request to request, DIR/hosts the names for with-hosts.sh.
# Everything that is written goes into DIR; nothing runs after stop. Needs nginx.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/sites.sh"

usage="usage: serve.sh start|stop|pages DIR"
command=${1:?$usage}
dir=${2:?$usage}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
pidfile=$dir/nginx.pid

# Our nginx, not one that took over its process ID: its command line names DIR.
running() {
  [ -s "$pidfile" ] && tr '\0' ' ' < "/proc/$(cat "$pidfile")/cmdline" 2>/dev/null | grep -qF "$dir/nginx.conf"
}

stop() {
  running || { rm -f "$pidfile"; return 0; }
  local pid
  pid=$(cat "$pidfile")
  kill -QUIT "$pid"
  for _ in $(seq 100); do
    [ -d "/proc/$pid" ] || { rm -f "$pidfile"; return 0; }
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$pidfile"
}

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.1.1/$port") 2>/dev/null || { echo "$port"; return 0; }
  done
  echo "corpus: no free port found on 127.0.1.1" >&2
  return 1
}

site() { # name root how address port
  cat <<CONF
  server {
    listen $4:$5;
    server_name $1.corpus.test;
    root $dir/root/$2;
    index index.html index.en.html;
CONF
  case $3 in
  gzip) cat <<CONF
    gzip on;
    gzip_types text/css application/javascript;
    location = /robots.txt { default_type text/plain; return 200 "User-agent: *\nDisallow: /_sources/\nCrawl-delay: 1\nSitemap: http://\$http_host/sitemap.xml\n"; }
    location = /sitemap.xml {
      default_type application/xml;
      return 200 '<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>http://\$http_host/index.html</loc></url><url><loc>http://\$http_host/contents.html</loc></url><url><loc>http://\$http_host/glossary.html</loc></url></urlset>';
    }
CONF
    ;;
  clock) cat <<CONF
    sub_filter '</body>' '<p>Served on \$date_local as request \$request_id.</p></body>';
CONF
    ;;
  token) cat <<CONF
    sub_filter '</head>' '<meta name="csrf-token" content="\$request_id"></head>';
CONF
    ;;
  esac
  echo "  }"
}

configure() { # port
  cat <<CONF
daemon on;
master_process on;
worker_processes 1;
worker_rlimit_nofile 4096;
pid $pidfile;
error_log $dir/error.log warn;
events { worker_connections 1024; }
http {
  access_log $dir/access.log;
  client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
  uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
  types { text/html html; text/css css; application/javascript js; text/plain txt; image/png png; image/svg+xml svg; application/pdf pdf; application/epub+zip epub; }
  default_type application/octet-stream;
  charset utf-8;
  charset_types text/html;
  sendfile on;
  keepalive_requests 100000;
CONF
  local n=0 name _package root how
  : > "$dir/hosts.new"; : > "$dir/seeds"; : > "$dir/seeds.names"; : > "$dir/seeds.varying"
  printf '127.0.0.1 localhost\n::1 localhost\n' >> "$dir/hosts.new"
  while read -r name _package root how; do
    n=$((n + 1))
    site "$name" "$root" "$how" "127.0.1.$n" "$1"
    echo "127.0.1.$n $name.corpus.test" >> "$dir/hosts.new"
    echo "http://127.0.1.$n:$1/" >> "$dir/seeds"
    echo "http://$name.corpus.test:$1/" >> "$dir/seeds.names"
    case $how in clock | token) echo "http://127.0.1.$n:$1/" >> "$dir/seeds.varying" ;; esac
  done < <(sites)
  echo "}"
  mv "$dir/hosts.new" "$dir/hosts"
}

start() {
  command -v nginx >/dev/null || PATH=$PATH:/usr/sbin
  command -v nginx >/dev/null || { echo "corpus: nginx is not installed; apt-get install nginx" >&2; exit 1; }
  if running; then cat "$dir/seeds"; return 0; fi
  "$here/fetch.sh" "$dir"
  mkdir -p "$dir/tmp"
  # nginx started by root serves files as another user, who must be able to reach them.
  local user=""
  [ "$(id -u)" != 0 ] || user="user root;"
  local try port
  for try in 1 2 3; do
    port=${CORPUS_PORT:-$(free_port)}
    { echo "$user"; configure "$port"; } > "$dir/nginx.conf"
    if nginx -p "$dir" -c "$dir/nginx.conf" 2>"$dir/start.log"; then
      for _ in $(seq 100); do
        if running && (exec 3<>"/dev/tcp/127.0.1.1/$port") 2>/dev/null; then cat "$dir/seeds"; return 0; fi
        sleep 0.1
      done
    fi
    echo "corpus: nginx did not start on port $port (attempt $try of 3)" >&2
  done
  cat "$dir/start.log" >&2
  return 1
}

pages() {
  sites | while read -r _name _package root _how; do find "$dir/root/$root/" -name '*.html'; done | wc -l
}

case $command in
start) start ;;
stop) stop ;;
pages) pages ;;
*) echo "$usage" >&2; exit 2 ;;
esac
