//! Trees, and the plan of each on one line.

use super::{
    ALLOWS, ASTRO, CALLER, FETCHES, Files, GO_MOD, INDIRECT_MOD, MAIN, MAKER, OLD_SCHEMA, OTHER_MOD, OWN, PLAIN,
    PLAIN_MAIN, RELEASED, RUNNER, SEEDER, SVELTEKIT, VITE,
};

pub(super) const TREES: &[(&str, Files, &str)] = &[
    ("hooks at the root", &[("pb_hooks/main.pb.js", "")], "pb 1.2.3; hooks pb_hooks"),
    (
        "all three at the root",
        &[("pb_hooks/a.pb.js", ""), ("pb_migrations/1.js", ""), ("pb_public/index.html", "")],
        "pb 1.2.3; hooks pb_hooks; migrations pb_migrations; public pb_public",
    ),
    (
        "hooks that require packages of the folder they are in",
        &[
            (
                "app/pb_hooks/a.pb.js",
                "const { x } = require( '@scope/x/lib' ), y = require('./y'), z = require(`${__hooks}/z`)",
            ),
            ("app/package.json", r#"{"dependencies":{"@scope/x":"1"}}"#),
            ("app/package-lock.json", "{}"),
            ("package.json", r#"{"dependencies":{"@scope/x":"1"}}"#),
        ],
        "pb 1.2.3; hooks app/pb_hooks; packages app [npm ci --omit=dev --ignore-scripts]",
    ),
    (
        "hooks that name packages in their own folder",
        &[
            ("pb_hooks/a.pb.js", "const x = require(`${__hooks}/node_modules/x/dist/x.js`)"),
            ("pb_hooks/package.json", r#"{"dependencies":{"x":"1"}}"#),
            ("pb_hooks/pnpm-lock.yaml", ""),
        ],
        "pb 1.2.3; hooks pb_hooks; packages pb_hooks [pnpm install --frozen-lockfile --prod --ignore-scripts --config.node-linker=hoisted]",
    ),
    (
        "hooks that name packages beside their folder",
        &[
            ("pb_hooks/a.pb.js", "const x = require(__hooks + '/../node_modules/@a/x/lib.js')"),
            ("package.json", r#"{"dependencies":{"@a/x":"1"}}"#),
        ],
        "pb 1.2.3; hooks pb_hooks; packages  [npm install --omit=dev --ignore-scripts]",
    ),
    (
        "pages of hooks that require packages",
        &[
            ("pb_hooks/a.pb.js", "routerUse((e) => e.next())"),
            ("pb_hooks/pages/index.ejs", "<script server>const x = require(`${__hooks}/../node_modules/x`)</script>"),
            ("package.json", r#"{"dependencies":{"x":"1"}}"#),
        ],
        "pb 1.2.3; hooks pb_hooks; packages  [npm install --omit=dev --ignore-scripts]",
    ),
    (
        "migrations at the root that are left over, and a compose file that builds another folder",
        &[
            ("pb_migrations/1.js", ""),
            ("pocketbase/pb_migrations/1.js", ""),
            ("pocketbase/Dockerfile", FETCHES),
            ("docker-compose.yml", "services:\n  pb:\n    build: ./pocketbase\n"),
        ],
        "pb 0.28.4; migrations pocketbase/pb_migrations",
    ),
    (
        "hooks whose packages are for their developers",
        &[
            ("pb_hooks/a.pb.js", "const x = require('x'), y = require('./y')"),
            ("package.json", r#"{"dependencies":{"y":"1"},"devDependencies":{"x":"1"}}"#),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "hooks whose build is not committed",
        &[
            ("pb_migrations/1.js", ""),
            ("package.json", r#"{"scripts":{"build":"tsup src/*.ts --out-dir=./pb_hooks","dev":"tsup --watch"}}"#),
            ("src/main.pb.ts", ""),
        ],
        "pb 1.2.3; hooks pb_hooks; migrations pb_migrations; made by npm run build",
    ),
    (
        "hooks that a frontend's package builds by another script, in a folder that another configuration names",
        &[
            ("pb/pb_migrations/1.js", ""),
            (
                "web/package.json",
                r#"{"scripts":{"build":"vite build","hooks":"vite build -c ./hooks/vite.config.ts","hooks:dev":"vite build --watch -c ./hooks/vite.config.ts"},"devDependencies":{"vite":"7"}}"#,
            ),
            ("web/index.html", ""),
            ("web/hooks/vite.config.ts", "build: { outDir: resolve(__dirname, '../../pb/pb_hooks') }"),
        ],
        "pb 1.2.3; hooks pb/pb_hooks; migrations pb/pb_migrations; frontend web [npm install, npm run build] web/dist; made by npm run hooks",
    ),
    (
        "hooks of another app that a package builds",
        &[
            ("pb/pb_migrations/1.js", ""),
            ("other/package.json", r#"{"scripts":{"build":"tsup src/*.ts --out-dir=./pb_hooks"}}"#),
        ],
        "pb 1.2.3; migrations pb/pb_migrations",
    ),
    (
        "hooks whose build is not committed, in a folder that a configuration names",
        &[
            ("backend/pb_migrations/1.js", ""),
            ("backend/hooks/package.json", r#"{"scripts":{"build":"tsc"}}"#),
            ("backend/hooks/tsconfig.json", r#"{ "compilerOptions": { "outDir": "../pb_hooks" } }"#),
        ],
        "pb 1.2.3; hooks backend/pb_hooks; migrations backend/pb_migrations; made by npm run build",
    ),
    (
        "hooks whose build is not committed, in a folder that a start script names",
        &[
            ("pb_hooks/package.json", r#"{"scripts":{"build":"tsup './src/*.ts' -d ../hooks"}}"#),
            ("pb_hooks/src/a.pb.ts", ""),
            ("migrations/1700000000_a.js", "migrate((app) => {})"),
            ("scripts/start.sh", "./pocketbase serve --hooksDir ./hooks --migrationsDir ./migrations"),
        ],
        "pb 1.2.3; hooks hooks; migrations migrations; made by npm run build",
    ),
    (
        "hooks whose build is not committed, in a folder that a Dockerfile copies",
        &[
            ("pb_migrations/1.js", ""),
            ("package.json", r#"{"scripts":{"build":"tsc --outDir dist/api"}}"#),
            ("src/a.pb.ts", ""),
            ("Dockerfile", "FROM ghcr.io/muchobien/pocketbase:0.28.4\nCOPY dist/api /pb/pb_hooks\n"),
        ],
        "pb 0.28.4; hooks dist/api; migrations pb_migrations; made by npm run build",
    ),
    (
        "hooks whose build is committed",
        &[("pb_hooks/main.pb.js", ""), ("package.json", r#"{"scripts":{"build":"tsup src/*.ts --out-dir pb_hooks"}}"#)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    ("only files to serve", &[("pb_public/index.html", "")], "pb 1.2.3; public pb_public"),
    (
        "hooks whose build writes to a folder that only a start script names",
        &[
            ("migrations/1754654547_a.js", "migrate((app) => {})"),
            ("start.sh", "pocketbase serve --hooksDir hooks --migrationsDir migrations"),
            ("pb_hooks/package.json", r#"{"scripts":{"build":"tsup './src/hooks/*.ts' -d ../hooks"}}"#),
            ("pb_hooks/src/hooks/index.pb.ts", ""),
        ],
        "pb 1.2.3; hooks hooks; migrations migrations; made by npm run build",
    ),
    (
        "hooks that are only the source of a build",
        &[
            ("app/pb_migrations/1.js", ""),
            ("app/src/a.pb.js", "import x from './lib/x'"),
            ("app/package.json", r#"{"scripts":{"build":"tsup './src/**/*' -d ./pb_hooks"}}"#),
        ],
        "pb 1.2.3; hooks app/pb_hooks; migrations app/pb_migrations; made by npm run build",
    ),
    (
        "hooks of another name beside a build that makes others",
        &[
            ("hooks/a.pb.js", ""),
            ("app/package.json", r#"{"scripts":{"build":"tsup './src/**/*' -d ./pb_hooks"}}"#),
            ("app/pb_migrations/1.js", ""),
        ],
        "pb 1.2.3; hooks hooks; migrations app/pb_migrations",
    ),
    (
        "what hooks and migrations read beside their folders",
        &[
            (
                "pb/pb_hooks/a.pb.js",
                "const a = require(`${__hooks}/../lib/a`); $template.loadFiles('views/a.html', `views/${x}.html`)",
            ),
            (
                "pb/pb_hooks/lib/b.js",
                "require(__hooks + '/../config.js'); $os.readFile('.env'); $os.readDir('pb/more/')",
            ),
            (
                "pb/pb_migrations/1_a.js",
                "migrate((app) => { $os.readFile('pb/schema.json'); $os.readFile('pb_data/x.json') })",
            ),
            ("pb/pb_migrations/2_b.js", "const columns = ['lib/c.js']"),
            ("pb/lib/a.js", "x"),
            ("pb/lib/c.js", ""),
            ("pb/config.js", ""),
            ("pb/views/a.html", "x"),
            ("pb/more/x.txt", "x"),
            ("pb/schema.json", "{}"),
            ("pb/.env", "A=b"),
            ("pb/.secret", "x"),
            ("pb/pb_data/x.json", "{}"),
            ("frontend/readme.txt", ""),
        ],
        "pb 1.2.3; hooks pb/pb_hooks; migrations pb/pb_migrations; reads pb/.env, pb/config.js, pb/lib, pb/more, pb/schema.json, pb/views",
    ),
    (
        "words of hooks that are no paths",
        &[
            (
                "pb_hooks/a.pb.js",
                "routerAdd('GET', '/src/x', (e) => $os.readFile(`${__hooks}/views/x.html`)); $os.exec('src', 'a.b', '../..', '/frontend')",
            ),
            ("pb_hooks/views/x.html", "x"),
            ("src/x/a.txt", "x"),
            ("frontend/a.txt", "x"),
            ("a.b.c", "x"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a version from before hooks",
        &[("pb_public/index.html", ""), ("Dockerfile", "ARG PB_VERSION=0.14.1")],
        "pb 0.22.27; public pb_public",
    ),
    (
        "two folders of migrations, one of which fetches PocketBase",
        &[
            ("backend/pb_migrations/1_a.js", ""),
            ("backend/Dockerfile", "FROM node:22"),
            (
                "docker-compose.yml",
                "services:\n  api:\n    build: ./backend\n  db:\n    build:\n      context: ./database\n",
            ),
            ("database/pb_migrations/1_a.js", ""),
            ("database/Dockerfile", "FROM ghcr.io/x/pocketbase:0.28.4"),
        ],
        "pb 0.28.4; migrations database/pb_migrations",
    ),
    (
        "two folders of hooks, one of which is started",
        &[
            ("one/pb_hooks/a.pb.js", ""),
            ("two/pb_hooks/a.pb.js", ""),
            (
                "compose.yml",
                "services:\n  pb:\n    image: ghcr.io/x/pocketbase:0.28.4\n    volumes:\n      - \"./two/pb_data:/pb/pb_data\"\n",
            ),
        ],
        "pb 0.28.4; hooks two/pb_hooks",
    ),
    (
        "a folder of any name",
        &[("Mein Server/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations Mein Server/pb_migrations",
    ),
    ("two folders down", &[("apps/one/pb_hooks/a.pb.js", "")], "pb 1.2.3; hooks apps/one/pb_hooks"),
    (
        "an example beside the app",
        &[("examples/pb_hooks/a.pb.js", ""), ("server/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks server/pb_hooks",
    ),
    (
        "a decoy alone is better than nothing",
        &[("legacy/pb_hooks/a.pb.js", ""), ("README.md", "")],
        "pb 1.2.3; hooks legacy/pb_hooks",
    ),
    (
        "the root wins over folders",
        &[("pb_migrations/1.js", ""), ("other/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations pb_migrations",
    ),
    (
        "code wins over files to serve",
        &[("pb_public/index.html", ""), ("backend/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations backend/pb_migrations; public pb_public",
    ),
    (
        "a backend's name wins over another",
        &[("backend/pb_hooks/a.pb.js", ""), ("stuff/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks backend/pb_hooks",
    ),
    (
        "empty folders do not count",
        &[("pb_hooks/.gitkeep", ""), ("pb_migrations/1.js", "")],
        "pb 1.2.3; migrations pb_migrations",
    ),
    (
        "a version pinned in a Dockerfile",
        &[("pb_hooks/a.pb.js", ""), ("Dockerfile", "FROM alpine\nARG PB_VERSION=0.28.4\n")],
        "pb 0.28.4; hooks pb_hooks",
    ),
    (
        "a link to a folder inside",
        &[("pb_public", "-> site/dist"), ("site/dist/index.html", "")],
        "pb 1.2.3; public pb_public",
    ),
    ("Go at the root", &[("go.mod", GO_MOD), ("main.go", MAIN)], "go  . 0.29.1"),
    (
        "Go that reads what its code names",
        &[
            ("server/go.mod", GO_MOD),
            ("server/main.go", MAIN),
            (
                "server/pages/pages.go",
                "package pages\n\nimport (\n\t\"errors\"\n)\n\nvar all = template.ParseGlob(\"./web/pages/*.html\")\nvar one = \
                 read(filepath.Join(\"internal\", \"schema.json\"), \"pb_data\", \"users\", \"../other\", \"docs\", \"ui\")\n",
            ),
            ("server/web/pages/home.html", ""),
            ("server/web/other.html", ""),
            ("server/internal/schema.json", "[]"),
            ("server/errors/x.json", ""),
            ("server/users/users.go", "package users\n"),
            ("server/docs/readme.md", ""),
            ("server/ui/package.json", "{}"),
            ("server/templates/mail.html", ""),
            ("other/x.json", ""),
        ],
        "go server . 0.29.1; reads server/internal/schema.json, server/templates, server/web/pages, other; in server",
    ),
    (
        "Go that serves its frontend's build from a folder",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("serve.go", "package main\n\nvar files = os.DirFS(\"./frontend/dist\")\n"),
            ("frontend/package.json", VITE),
            ("frontend/package-lock.json", "{}"),
        ],
        "go  . 0.29.1; frontend frontend [npm ci, npm run build] frontend/dist; reads frontend/dist",
    ),
    (
        "a Go tool that uses parts of PocketBase beside the app",
        &[("pb_migrations/1.js", ""), ("loadtest/go.mod", GO_MOD), ("loadtest/main.go", SEEDER)],
        "pb 1.2.3; migrations pb_migrations",
    ),
    (
        "a Go program that makes a PocketBase beside the official one",
        &[("pb_migrations/1.js", ""), ("Dockerfile", FETCHES), ("import/go.mod", GO_MOD), ("import/main.go", MAIN)],
        "pb 0.28.4; migrations pb_migrations",
    ),
    (
        "a Go program that a Dockerfile builds after it fetched the official one",
        &[
            ("pb_migrations/1.js", ""),
            ("Dockerfile", FETCHES),
            ("server/go.mod", GO_MOD),
            ("server/main.go", MAIN),
            ("server/Dockerfile", "FROM golang\nRUN go build -o /app .\n"),
        ],
        "go server . 0.29.1; migrations pb_migrations",
    ),
    (
        "a Go program without the JavaScript VM beside hooks and a Dockerfile that fetches the official one",
        &[
            ("pb/go.mod", GO_MOD),
            ("pb/main.go", MAIN),
            ("pb/Dockerfile", FETCHES),
            ("pb/pb_hooks/a.pb.js", ""),
            ("jobs/go.mod", OTHER_MOD),
            ("jobs/Dockerfile", "FROM golang\nRUN go build -o /jobs .\n"),
        ],
        "pb 0.28.4; hooks pb/pb_hooks",
    ),
    (
        "a Go program with the JavaScript VM beside hooks and a Dockerfile that fetches the official one",
        &[
            ("pb/go.mod", GO_MOD),
            ("pb/main.go", MAIN),
            ("pb/js.go", "package main\n\nimport \"github.com/pocketbase/pocketbase/plugins/jsvm\"\n"),
            ("pb/Dockerfile", FETCHES),
            ("pb/pb_hooks/a.pb.js", ""),
        ],
        "go pb . 0.29.1; hooks pb/pb_hooks",
    ),
    (
        "a main beside those that help",
        &[
            ("go.mod", GO_MOD),
            ("cmd/backoffice/main.go", MAIN),
            ("cmd/db-seed/main.go", MAIN),
            ("cmd/worker/main.go", MAIN),
        ],
        "go  ./cmd/backoffice 0.29.1",
    ),
    (
        "the only one of several mains that runs what a package makes",
        &[("go.mod", GO_MOD), ("internal/app/app.go", MAKER), ("cmd/one/main.go", RUNNER), ("cmd/two/main.go", CALLER)],
        "go  ./cmd/one 0.29.1",
    ),
    (
        "a main that is called like the module",
        &[
            ("go.mod", "module example.com/shop/v2\nrequire github.com/pocketbase/pocketbase v0.29.1\n"),
            ("cmd/shop/main.go", MAIN),
            ("cmd/other/main.go", MAIN),
        ],
        "go  ./cmd/shop 0.29.1",
    ),
    (
        "a main that only uses parts beside one that makes it",
        &[("go.mod", GO_MOD), ("main.go", SEEDER), ("cmd/x/main.go", MAIN)],
        "go  ./cmd/x 0.29.1",
    ),
    (
        "a Go program that reads a committed .env where there is one",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("load.go", "package main\n\nimport _ \"github.com/joho/godotenv/autoload\"\n"),
            (".env", "A=1"),
            ("other.go", "package main\n\nvar _ = godotenv.Load(\".env.local\")\n"),
            (".env.local", "B=1"),
        ],
        "go  . 0.29.1 .env; reads .env.local",
    ),
    (
        "a Go program that ends without a .env, which it names by where it runs",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            (
                "load.go",
                "package main\n\nfunc load() {\n\terr := godotenv.Load(\"./.env\")\n\tif err != nil {\n\t\tpanic(err)\n\t}\n}\n",
            ),
        ],
        "go  . 0.29.1 .env",
    ),
    (
        "a Go program that could read a .env which is not committed",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("load.go", "package main\n\nimport _ \"github.com/joho/godotenv/autoload\"\n"),
        ],
        "go  . 0.29.1",
    ),
    (
        "a Go program that gives PocketBase its address itself",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            (
                "serve.go",
                "package main\n\ntype config struct {\n\tAddr string `env:\"LISTEN_ADDR,required\"`\n}\n\nfunc serve() {\n\
                 app.RootCmd.SetArgs([]string{\"serve\", \"--http=:\" + getEnv(\"PB_PORT\", \"8090\"), os.Getenv(\"SMTP_PORT\")})\n}\n",
            ),
        ],
        "go  . 0.29.1; listens at LISTEN_ADDR, PB_PORT",
    ),
    (
        "a Go program that listens on a fixed address",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            (
                "serve.go",
                "package main\n\nfunc init() { app.RootCmd.SetArgs([]string{\"serve\", \"--http=:8090\"}) }\n",
            ),
            ("other/other.go", "package other\n\nvar a = f(\"--http=:8090\")\n"),
        ],
        "go  . 0.29.1; frees other/other.go, serve.go",
    ),
    (
        "a Go program with a second server",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("metrics.go", "package main\n\nvar _ = http.ListenAndServe(os.Getenv(\"HTTP_ADDR\"), nil)\n"),
        ],
        "go  . 0.29.1",
    ),
    (
        "Go with a PocketBase of before its health check",
        &[("go.mod", "module x\nrequire github.com/pocketbase/pocketbase v0.9.2\n"), ("main.go", MAIN)],
        "go  . 0.9.2; health /_/",
    ),
    (
        "Go with templates whose code is not committed",
        &[
            (
                "go.mod",
                "module x\nrequire (\n\tgithub.com/a-h/templ v0.3.819\n\tgithub.com/pocketbase/pocketbase v0.29.1\n)\n",
            ),
            ("main.go", MAIN),
            ("views/a.templ", ""),
            ("views/b.templ", ""),
            ("views/b_templ.go", "package views\n"),
        ],
        "go  . 0.29.1 [go run github.com/a-h/templ/cmd/templ@v0.3.819 generate]",
    ),
    (
        "Go that embeds parts of its frontend's build",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("web/web.go", "package web\n\n//go:embed dist/index.html dist/assets/*\nvar files embed.FS\n"),
            ("web/package.json", VITE),
            ("web/package-lock.json", "{}"),
        ],
        "go  . 0.29.1; frontend web [npm ci, npm run build] web/dist",
    ),
    (
        "Go that embeds what a frontend makes which looks as if a server rendered it",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("files.go", "package main\n\n//go:embed all:build/client\nvar files embed.FS\n"),
            ("package.json", r#"{"scripts":{"build":"remix vite:build"},"devDependencies":{"@remix-run/dev":"2"}}"#),
            ("package-lock.json", "{}"),
        ],
        "go  . 0.29.1; frontend  [npm ci, npm run build] build/client",
    ),
    (
        "Go that embeds what scripts of a package make",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("static.go", "package main\n\n//go:embed static/output.css static/js\nvar files embed.FS\n"),
            (
                "package.json",
                r#"{"scripts":{"dev":"tailwindcss -o static/output.css --watch","css":"tailwindcss -i in.css -o ./static/output.css","build:js":"esbuild a.js --outfile=static/js/a.js"}}"#,
            ),
            ("package-lock.json", "{}"),
        ],
        "go  . 0.29.1; frontend  [npm ci, sh -c npm run 'build:js' && npm run 'css'] ?",
    ),
    (
        "Go in a folder that serves what a frontend beside it makes",
        &[
            ("backend/go.mod", GO_MOD),
            ("backend/main.go", MAIN),
            (
                "backend/serve.go",
                "package main\n\nvar a = filepath.Join(\"..\", \"frontend\", \"dist\")\nvar b = \"../..\"\n",
            ),
            ("frontend/package.json", VITE),
            ("frontend/package-lock.json", "{}"),
        ],
        "go backend . 0.29.1; frontend frontend [npm ci, npm run build] frontend/dist; reads frontend/dist; in backend",
    ),
    (
        "Go in a folder that serves one where a frontend beside it is to be put",
        &[
            ("backend/go.mod", GO_MOD),
            ("backend/main.go", MAIN),
            (
                "backend/serve.go",
                "package main\n\nvar a = os.DirFS(\"./uploads\")\nvar b = apis.Static(os.DirFS(\"./dist\"), true)\n",
            ),
            ("frontend/package.json", VITE),
            ("frontend/package-lock.json", "{}"),
        ],
        "go backend . 0.29.1; frontend frontend [npm ci, sh -c 'npm' 'run' 'build' && mkdir -p './../backend/dist' && cp -R './dist'/. './../backend/dist'] backend/dist; reads backend/dist",
    ),
    (
        "Go that serves what its frontend builds, where it is",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("serve.go", "package main\n\nvar a = http.Dir(\"web/dist\")\n"),
            ("web/package.json", VITE),
            ("web/package-lock.json", "{}"),
        ],
        "go  . 0.29.1; frontend web [npm ci, npm run build] web/dist; reads web/dist",
    ),
    ("Go in backend", &[("backend/go.mod", GO_MOD), ("backend/main.go", MAIN)], "go backend . 0.29.1"),
    ("Go one folder down", &[("srv/go.mod", GO_MOD), ("srv/main.go", MAIN)], "go srv . 0.29.1"),
    (
        "Go with one command",
        &[("go.mod", GO_MOD), ("cmd/app/main.go", MAIN), ("lib/lib.go", "package lib")],
        "go  ./cmd/app 0.29.1",
    ),
    (
        "Go with several commands, one of which is PocketBase's",
        &[("go.mod", GO_MOD), ("cmd/app/main.go", MAIN), ("cmd/seed/main.go", PLAIN_MAIN)],
        "go  ./cmd/app 0.29.1",
    ),
    (
        "Go with a generator that is not built",
        &[
            ("go.mod", GO_MOD),
            ("internal/gen/gen.go", "//go:build ignore\n\npackage main\n"),
            ("server/main.go", PLAIN_MAIN),
        ],
        "go  ./server 0.29.1",
    ),
    (
        "Go with a module of its own inside",
        &[("go.mod", GO_MOD), ("app/main.go", PLAIN_MAIN), ("tool/go.mod", OTHER_MOD), ("tool/main.go", PLAIN_MAIN)],
        "go  ./app 0.29.1",
    ),
    (
        "Go wins over its own folders",
        &[("go.mod", GO_MOD), ("main.go", MAIN), ("pb_hooks/a.pb.js", ""), ("pb_public/index.html", "")],
        "go  . 0.29.1; hooks pb_hooks; public pb_public",
    ),
    (
        "Go without PocketBase is not the app",
        &[("tool/go.mod", OTHER_MOD), ("tool/main.go", PLAIN_MAIN), ("pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "an indirect requirement is not one",
        &[("go.mod", INDIRECT_MOD), ("main.go", PLAIN_MAIN), ("pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Go and a frontend",
        &[
            ("backend/go.mod", GO_MOD),
            ("backend/main.go", MAIN),
            ("frontend/package.json", VITE),
            ("frontend/package-lock.json", "{}"),
        ],
        "go backend . 0.29.1; frontend frontend [npm ci, npm run build] frontend/dist",
    ),
    (
        "a frontend without a lock file",
        &[("pb_hooks/a.pb.js", ""), ("frontend/package.json", PLAIN)],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] ?",
    ),
    (
        "a frontend at the root",
        &[("pb_hooks/a.pb.js", ""), ("package.json", VITE), ("package-lock.json", "{}")],
        "pb 1.2.3; hooks pb_hooks; frontend  [npm ci, npm run build] dist",
    ),
    (
        "a frontend with pnpm",
        &[("pb_hooks/a.pb.js", ""), ("web/package.json", VITE), ("web/pnpm-lock.yaml", "")],
        "pb 1.2.3; hooks pb_hooks; frontend web [pnpm install --frozen-lockfile, pnpm run build] web/dist",
    ),
    (
        "pnpm's settings are no workspace",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("package.json", VITE),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
            ("pnpm-workspace.yaml", ALLOWS),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend  [pnpm install --frozen-lockfile, pnpm run build] dist",
    ),
    (
        "pnpm's settings above a frontend",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("web/package.json", VITE),
            ("web/pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
            ("pnpm-workspace.yaml", ALLOWS),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend web [pnpm install --frozen-lockfile --ignore-workspace, pnpm run build] web/dist",
    ),
    (
        "a frontend with bun",
        &[("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE), ("frontend/bun.lock", "")],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [bun install --frozen-lockfile, bun run build] frontend/dist",
    ),
    (
        "several lock files, one manager named",
        &[
            (
                "frontend/package.json",
                r#"{"packageManager":"yarn@4.1.0","scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#,
            ),
            ("frontend/yarn.lock", ""),
            ("frontend/package-lock.json", "{}"),
            ("pb_hooks/a.pb.js", ""),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [yarn install --immutable, yarn run build] frontend/dist",
    ),
    (
        "frontend/ wins over the root's package.json",
        &[("pb_hooks/a.pb.js", ""), ("package.json", PLAIN), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/dist",
    ),
    (
        "a frontend that builds into pb_public",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("pb_public/index.html", "old"),
            ("ui/package.json", VITE),
            ("ui/vite.config.ts", "export default { build: { outDir: \"../pb_public\" } }"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] pb_public",
    ),
    (
        "SvelteKit whose adapter is in the configuration of Vite",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("ui/package.json", SVELTEKIT),
            (
                "ui/vite.config.js",
                "import adapter from '@sveltejs/adapter-static'\nexport default { plugins: [sveltekit({ adapter: adapter({ pages: 'out' }) })] }",
            ),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] ui/out",
    ),
    (
        "a frontend whose output is put together from names",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("ui/package.json", VITE),
            (
                "ui/vite.config.ts",
                "const root = path.join(__dirname, 'src')\nexport default { build: { outDir: path.resolve(__dirname, '..', 'web', 'out') } }",
            ),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] web/out",
    ),
    (
        "a frontend whose output is an argument of its build",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("ui/package.json", r#"{"scripts":{"build":"vite build --outDir=../out"},"devDependencies":{"vite":"7"}}"#),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] out",
    ),
    (
        "a frontend whose output would be its own sources",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("ui/package.json", VITE),
            ("ui/vite.config.ts", "export default { root: 'src', build: { outDir: '../..' } }"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] ?",
    ),
    (
        "a frontend that is copied into pb_public",
        &[
            ("backend/pb_hooks/a.pb.js", ""),
            (
                "ui/package.json",
                r#"{"scripts":{"build":"vite build","postbuild":"cp -r dist/. ../backend/pb_public/"}}"#,
            ),
        ],
        "pb 1.2.3; hooks backend/pb_hooks; frontend ui [npm install, npm run build] backend/pb_public",
    ),
    (
        "a committed page that no build writes",
        &[("pb_public/index.html", ""), ("package.json", VITE)],
        "pb 1.2.3; public pb_public",
    ),
    (
        "files to serve beside a built frontend",
        &[("pb_public/robots.txt", ""), ("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks; public pb_public; frontend frontend [npm install, npm run build] frontend/dist",
    ),
    (
        "a package without a build script",
        &[("pb_hooks/a.pb.js", ""), ("package.json", r#"{"scripts":{"test":"x"}}"#)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    ("a broken package.json", &[("pb_hooks/a.pb.js", ""), ("package.json", "{")], "pb 1.2.3; hooks pb_hooks"),
    (
        "SvelteKit with a server",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", SVELTEKIT),
            ("frontend/svelte.config.js", "import adapter from '@sveltejs/adapter-node';"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "SvelteKit as files",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", SVELTEKIT),
            ("frontend/svelte.config.js", "import adapter from '@sveltejs/adapter-static';\nadapter({ pages: 'www' })"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/www",
    ),
    (
        "Next.js with a server",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#),
            ("frontend/next.config.js", "// output: 'export'\nmodule.exports = {}"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Next.js as files",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#),
            ("frontend/next.config.js", "module.exports = { output: \"export\" }"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/out",
    ),
    (
        "Next.js as files, by a script of its own",
        &[
            ("pb_hooks/a.pb.js", ""),
            (
                "frontend/package.json",
                r#"{"scripts":{"build":"next build","export":"next export"},"dependencies":{"next":"13"}}"#,
            ),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, sh -c npm run build && npm run export] frontend/out",
    ),
    (
        "a frontend that Go embeds",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("ui/embed.go", "package ui\n\n//go:embed all:dist\nvar Dist embed.FS\n"),
            ("ui/package.json", VITE),
            ("other/package.json", VITE),
        ],
        "go  . 0.29.1; frontend ui [npm install, npm run build] ui/dist",
    ),
    (
        "frontends that are as likely",
        &[("pb_hooks/a.pb.js", ""), ("one/package.json", VITE), ("two/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a backend and a frontend in apps",
        &[("apps/api/go.mod", GO_MOD), ("apps/api/main.go", MAIN), ("apps/web/package.json", VITE)],
        "go apps/api . 0.29.1; frontend apps/web [npm install, npm run build] apps/web/dist",
    ),
    (
        "an untidy go.mod of a program that uses PocketBase",
        &[("go.mod", INDIRECT_MOD), ("main.go", MAIN), ("pb_hooks/a.pb.js", "")],
        "go  . 0.29.1; hooks pb_hooks",
    ),
    ("the only app, deep down", &[("a/b/c/d/pb_hooks/a.pb.js", "")], "pb 1.2.3; hooks a/b/c/d/pb_hooks"),
    (
        "Go that only talks to PocketBase, beside it",
        &[("tool/go.mod", GO_MOD), ("tool/main.go", PLAIN_MAIN), ("pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Go whose main is at the root, but not the app",
        &[("go.mod", GO_MOD), ("main.go", PLAIN_MAIN), ("cmd/app/main.go", MAIN)],
        "go  ./cmd/app 0.29.1",
    ),
    (
        "Go that imports PocketBase by a package of its own",
        &[
            ("go.mod", GO_MOD),
            (
                "cmd/a/main.go",
                "package main\n\nimport \"example.com/app/internal/boot\"\n\nfunc main() { boot.Run() }\n",
            ),
            ("cmd/b/main.go", PLAIN_MAIN),
            ("internal/boot/boot.go", "package boot\n\nimport \"github.com/pocketbase/pocketbase/core\"\n"),
        ],
        "go  ./cmd/a 0.29.1",
    ),
    (
        "Go with two programs, of which a Makefile builds one",
        &[
            ("go.mod", GO_MOD),
            ("cmd/a/main.go", MAIN),
            ("cmd/b/main.go", MAIN),
            ("Makefile", "build:\n\tgo build -tags=embed -o bin/b ./cmd/b\n"),
        ],
        "go  ./cmd/b 0.29.1 [production, embed]",
    ),
    (
        "a copy of PocketBase itself",
        &[
            ("go.mod", "module github.com/pocketbase/pocketbase\n\ngo 1.24\n"),
            ("pocketbase.go", "package pocketbase\n"),
            ("core/db_cgo.go", "//go:build cgo\n\npackage core\n\nimport _ \"github.com/mattn/go-sqlite3\"\n"),
            ("examples/base/main.go", MAIN),
        ],
        "go  ./examples/base ?",
    ),
    (
        "Go with an example beside its program",
        &[("go.mod", GO_MOD), ("cmd/a/main.go", MAIN), ("examples/b/main.go", MAIN)],
        "go  ./cmd/a 0.29.1",
    ),
    (
        "Go that asks for a toolchain, a C compiler and a .env file",
        &[
            (
                "go.mod",
                "module x\n\ngo 1.23.0\n\ntoolchain go1.24.1\n\nrequire github.com/pocketbase/pocketbase v0.29.1\n",
            ),
            (
                "main.go",
                "package main\n\nimport (\n\t\"github.com/pocketbase/pocketbase\"\n\t_ \"github.com/mattn/go-sqlite3\"\n)\n\nfunc main() {\n\tif err := godotenv.Load(); err != nil {\n\t\tlog.Fatal(err)\n\t}\n}\n",
            ),
        ],
        "go  . 0.29.1 1.24.1 cgo .env",
    ),
    (
        "a frontend that Go embeds elsewhere",
        &[
            ("backend/go.mod", GO_MOD),
            ("backend/main.go", MAIN),
            ("backend/ui/embed.go", "package ui\n\n//go:embed all:dist\nvar Dist embed.FS\n"),
            ("backend/ui/dist/.gitkeep", ""),
            ("frontend/package.json", VITE),
        ],
        "go backend . 0.29.1; frontend frontend [npm install, sh -c 'npm' 'run' 'build' && mkdir -p './../backend/ui/dist' && cp -R './dist'/. './../backend/ui/dist'] backend/ui/dist",
    ),
    (
        "a frontend that Go embeds and that is committed",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("ui/embed.go", "package ui\n\n//go:embed all:dist\nvar Dist embed.FS\n"),
            ("ui/dist/index.html", "a page"),
            ("ui/dist/app.js", "code"),
            ("ui/package.json", VITE),
        ],
        "go  . 0.29.1",
    ),
    (
        "a build that is committed",
        &[("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE), ("frontend/dist/index.html", "")],
        "pb 1.2.3; hooks pb_hooks; public frontend/dist",
    ),
    (
        "pages that were written by hand",
        &[("backend/pb_hooks/a.pb.js", ""), ("frontend/index.html", "")],
        "pb 1.2.3; hooks backend/pb_hooks; public frontend",
    ),
    (
        "a Flutter project beside the app",
        &[("pb/pb_hooks/a.pb.js", ""), ("pubspec.yaml", ""), ("web/index.html", "")],
        "pb 1.2.3; hooks pb/pb_hooks",
    ),
    (
        "a root package that builds no frontend",
        &[("pb_hooks/a.pb.js", ""), ("package.json", PLAIN)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a root package whose build runs the frontend's",
        &[
            ("pb_hooks/a.pb.js", ""),
            (
                "package.json",
                r#"{"scripts":{"build":"cd web && npm run build && cp -r dist/. ../pb_public"},"devDependencies":{"vite":"7"}}"#,
            ),
            ("web/package.json", VITE),
            ("other/package.json", VITE),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend web [npm install, npm run build] web/dist",
    ),
    (
        "a member of a workspace, with its lock file at the root",
        &[
            ("apps/pb/pb_hooks/a.pb.js", ""),
            ("package.json", r#"{"workspaces":["apps/*"],"packageManager":"yarn@1.22.22"}"#),
            ("yarn.lock", "# yarn lockfile v1"),
            ("apps/web/package.json", VITE),
        ],
        "pb 1.2.3; hooks apps/pb/pb_hooks; frontend apps/web [yarn install --frozen-lockfile, yarn run build] apps/web/dist",
    ),
    (
        "an app whose folders are not together",
        &[("pb_hooks/a.pb.js", ""), ("pocketbase/pb_migrations/1.js", "")],
        "pb 1.2.3; hooks pb_hooks; migrations pocketbase/pb_migrations",
    ),
    (
        "migrations that a forgotten start left at the root",
        &[("pb_migrations/1.js", ""), ("backend/pb_hooks/a.pb.js", ""), ("backend/pb_migrations/1.js", "")],
        "pb 1.2.3; hooks backend/pb_hooks; migrations backend/pb_migrations",
    ),
    (
        "a README that tells of a version without hooks",
        &[("pb_hooks/a.pb.js", ""), ("README.md", "cd pocketbase_0.7.9_darwin_arm64")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a frontend that a compose file mounts",
        &[
            ("pb_hooks/a.pb.js", ""),
            (
                "compose.yml",
                "services:\n  pb:\n    image: pocketbase:latest\n    volumes:\n      - ./two/dist:/pb/pb_public\n",
            ),
            ("one/package.json", VITE),
            ("two/package.json", VITE),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend two [npm install, npm run build] two/dist",
    ),
    (
        "a program in Node beside the frontend",
        &[
            ("pb/pb_hooks/a.pb.js", ""),
            ("api/package.json", r#"{"scripts":{"build":"tsc"},"dependencies":{"express":"5"}}"#),
            ("shop/package.json", VITE),
        ],
        "pb 1.2.3; hooks pb/pb_hooks; frontend shop [npm install, npm run build] shop/dist",
    ),
    (
        "Astro",
        &[("pb_hooks/a.pb.js", ""), ("web/package.json", ASTRO), ("web/astro.config.mjs", "export default {}")],
        "pb 1.2.3; hooks pb_hooks; frontend web [npm install, npm run build] web/dist",
    ),
    (
        "Astro with a server",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("web/package.json", ASTRO),
            ("web/astro.config.mjs", "export default defineConfig({ adapter: node({ mode: 'standalone' }) })"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Astro that has an adapter and is static all the same",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("web/package.json", ASTRO),
            ("web/astro.config.mjs", "export default defineConfig({ output: 'static', adapter: node() })"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend web [npm install, npm run build] web/dist/client",
    ),
    (
        "Nuxt that a Dockerfile serves as files",
        &[
            ("pb_hooks/a.pb.js", ""),
            (
                "web/package.json",
                r#"{"scripts":{"build":"nuxt build","generate":"nuxt generate"},"dependencies":{"nuxt":"3"}}"#,
            ),
            (
                "Dockerfile",
                "FROM node AS web\nCOPY web/ .\nFROM alpine\nCOPY --from=web /app/.output/public /pb/pb_public\n",
            ),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend web [npm install, npm run generate] web/.output/public",
    ),
    (
        "a hook beside PocketBase's own folders, which it does not load",
        &[("pocketbase/a.pb.js", ""), ("pocketbase/pb_migrations/1.js", ""), ("pocketbase/pb_data/data.db", "SQLite")],
        "pb 1.2.3; migrations pocketbase/pb_migrations; seed pocketbase/pb_data",
    ),
    (
        "folders of other names, one of which is another tool's",
        &[
            ("pocketbase/hooks/a.pb.js", ""),
            ("pocketbase/migrations/0001_init.js", "migrate((app) => {})"),
            ("server/migrations/20240101000000_x.js", "export const up = () => tool.migrate()"),
        ],
        "pb 1.2.3; hooks pocketbase/hooks; migrations pocketbase/migrations",
    ),
    (
        "committed data and a program",
        &[("server/pb_migrations/1.js", ""), ("server/pb_data/data.db", "SQLite"), ("server/pocketbase", "x")],
        "pb 1.2.3; migrations server/pb_migrations; seed server/pb_data",
    ),
    (
        "a committed program with code of its own, and folders that such programs read",
        &[
            ("server/pb_migrations/1.js", ""),
            ("server/pocketbase", OWN),
            ("server/views/a.html", ""),
            ("other/views/b.html", ""),
        ],
        "program server/pocketbase 0.29.1; migrations server/pb_migrations; reads server/views",
    ),
    (
        "a committed program with code of its own, and nothing else",
        &[("bin/pocketbase", OWN)],
        "program bin/pocketbase 0.29.1",
    ),
    (
        "a committed program with code of its own beside another app",
        &[
            ("one/pb_hooks/a.pb.js", ""),
            ("one/pb_migrations/1.js", ""),
            ("two/pb_public/a.html", ""),
            ("two/pocketbase", OWN),
        ],
        "pb 0.29.1; hooks one/pb_hooks; migrations one/pb_migrations; public two/pb_public",
    ),
    (
        "a committed program beside its Go source",
        &[("go.mod", GO_MOD), ("main.go", MAIN), ("pocketbase", OWN)],
        "go  . 0.29.1",
    ),
    (
        "a committed release",
        &[("server/pb_migrations/1.js", ""), ("bin/pocketbase", RELEASED)],
        "pb 0.28.4 or bin/pocketbase; migrations server/pb_migrations",
    ),
    (
        "lab.toml names a program of another name",
        &[
            ("lab.toml", "[server]\nkind = \"program\"\nprogram = \"server/run\"\n"),
            ("server/run", "x"),
            ("server/pb_hooks/a.pb.js", ""),
        ],
        "program server/run ?; hooks server/pb_hooks",
    ),
    ("committed data alone", &[("pb_data/data.db", "SQLite")], "pb 1.2.3; seed pb_data"),
    (
        "a schema that the dashboard exported, and a frontend",
        &[
            ("pb_schema.json", r#"[{"id": "a", "listRule": null, "fields": [{"name": "schema"}]}]"#),
            ("package.json", VITE),
        ],
        "pb 1.2.3; frontend  [npm install, npm run build] dist",
    ),
    (
        "a schema of before 0.23 that the dashboard exported, and an SDK of since",
        &[
            ("db/pb_schema.json", r#"[{"id": "a", "schema": [{"name": "fields"}]}]"#),
            ("web/package.json", r#"{"dependencies":{"pocketbase":"^0.26.0"}}"#),
        ],
        "pb 0.22.27",
    ),
    (
        "something that fetches PocketBase, and nothing else",
        &[(
            "Dockerfile",
            "FROM alpine\nARG PB_VERSION=0.28.4\nADD https://github.com/pocketbase/pocketbase/releases/download/v${PB_VERSION}/x.zip /\n",
        )],
        "pb 0.28.4",
    ),
    (
        "an export of old collections, and nothing else",
        &[("pocketbase/pb_schema.json", OLD_SCHEMA), ("tools/start-pb.sh", "./pocketbase/pocketbase serve")],
        "pb 0.22.27",
    ),
    (
        "an export of collections that says more than the SDK",
        &[
            ("pb_public/index.html", ""),
            ("docs/pb_schema.json", OLD_SCHEMA),
            ("pb_schema.json", r#"[ { "id": "a", "type": "base", "fields" : [] } ]"#),
            ("package.json", r#"{"dependencies":{"pocketbase":"^0.21.0"}}"#),
        ],
        "pb 1.2.3; public pb_public",
    ),
    (
        "a pin that says more than an export of collections",
        &[("compose.yml", "services:\n  x:\n    image: x/pocketbase:0.28.4\n"), ("pb_schema.json", OLD_SCHEMA)],
        "pb 0.28.4",
    ),
    (
        "a script that fetches PocketBase and is called otherwise",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("hooks/index.html", ""),
            (
                "scripts/setup.mjs",
                "const PB_VERSION = '0.28.4', PUBLIC_DIR = 'hooks'\nget(`https://github.com/pocketbase/pocketbase/releases`)\n",
            ),
        ],
        "pb 0.28.4; hooks pb_hooks",
    ),
    (
        "a script that is about something else",
        &[("pb_hooks/a.pb.js", ""), ("scripts/setup.js", "const PB_VERSION = '0.28.4' // of protobuf")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a compose file by its last word",
        &[("pb_hooks/a.pb.js", ""), ("pocketbase-compose.yml", "services:\n  x:\n    image: x/pocketbase:0.28.4\n")],
        "pb 0.28.4; hooks pb_hooks",
    ),
    (
        "hooks whose modules say the generation",
        &[
            ("pb_hooks/a.pb.js", "routerAdd('GET', '/a', (c) => require(`${__hooks}/lib/a.js`)(c))"),
            ("pb_hooks/lib/a.js", "module.exports = (c) => c.json(200, $app.dao().findRecordById('a', 'b'))"),
            ("pb_hooks/node_modules/x/x.js", "$app.findRecordById('a', 'b')"),
        ],
        "pb 0.22.27; hooks pb_hooks",
    ),
    (
        "a page in a folder in capitals",
        &[("pb_hooks/a.pb.js", ""), ("Frontend/index.html", "")],
        "pb 1.2.3; hooks pb_hooks; public Frontend",
    ),
    (
        "lab.toml names the root",
        &[("lab.toml", "root = \"two\""), ("one/pb_hooks/a.pb.js", ""), ("two/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks two/pb_hooks",
    ),
    (
        "lab.toml states everything",
        &[
            (
                "lab.toml",
                "[pocketbase]\nversion = \"0.30.0\"\n[server]\nkind = \"pocketbase\"\n[hooks]\npath = \"src/hooks\"\n[migrations]\npath = \"db\"\n[public]\npath = \"www\"\n",
            ),
            ("src/hooks/a.pb.js", ""),
            ("db/1.js", ""),
            ("www/index.html", ""),
        ],
        "pb 0.30.0; hooks src/hooks; migrations db; public www",
    ),
    (
        "lab.toml switches the frontend off",
        &[("lab.toml", "frontend = false"), ("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "lab.toml corrects the frontend",
        &[
            ("lab.toml", "[frontend]\ndirectory = \"site\"\nbuild = \"npm run export\"\noutput = \"site/www\""),
            ("pb_hooks/a.pb.js", ""),
            ("site/package.json", PLAIN),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend site [npm install, npm run export] site/www",
    ),
    ("lab.toml alone is an app", &[("lab.toml", "[server]\nkind = \"pocketbase\""), ("README.md", "")], "pb 1.2.3"),
    (
        "lab.toml chooses the Go package",
        &[
            ("lab.toml", "[server]\nkind = \"go\"\npackage = \"cmd/b\""),
            ("go.mod", GO_MOD),
            ("cmd/a/main.go", MAIN),
            ("cmd/b/main.go", MAIN),
        ],
        "go  ./cmd/b 0.29.1",
    ),
];
