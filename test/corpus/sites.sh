# The sites of the corpus, one a line, sourced by the scripts beside it:
# name, Debian package, document root inside the package, how nginx serves it.
#
#   plain     as it is
#   gzip      with a content coding, and a robots.txt with a sitemap and a Disallow
#   clock     with a line at the foot of each page that differs from request to request
#   token     with a hidden token in each page that differs from request to request
sites() {
  cat <<'SITES'
python      python3.11-doc           usr/share/doc/python3.11/html            plain
postgres    postgresql-doc-15        usr/share/doc/postgresql-doc-15/html     plain
cppref      cppreference-doc-en-html usr/share/cppreference/doc/html/en       plain
django      python-django-doc        usr/share/doc/python-django-doc/html     gzip
git         git-doc                  usr/share/doc/git/html                   plain
policy      debian-policy            usr/share/doc/debian-policy/policy.html  plain
devref      developers-reference     usr/share/developers-reference           clock
reference   debian-reference-en      usr/share/debian-reference               token
SITES
}
