//! What a frontend is made with: whether its build gives files that PocketBase can serve, and where.

use serde_json::Value;

use super::{
    Scope,
    package::Package,
    paths,
    settings::{self, Said},
};

/// What a build gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Files, in this folder relative to the package's when it is known.
    Static {
        /// The folder.
        output: Option<String>,
        /// The scripts to run instead of `build`, each as words after the manager's name; none: that one.
        scripts: &'static [&'static [&'static str]],
    },
    /// A program that must run: Lab does not host it.
    Server {
        /// What would make it static.
        instead: &'static str,
    },
    /// A program that is no frontend.
    Program,
    /// Nothing to serve: an app for phones, a library.
    Other,
}

/// One row of the table.
pub(super) struct Framework {
    /// Its name, for a person.
    pub name: &'static str,
    dependency: &'static str,
    verdict: fn(&Scope<'_>, &Package) -> Verdict,
}

/// The first framework that a package depends on, and what its build gives.
pub(super) fn judge(scope: &Scope<'_>, package: &Package) -> Option<(&'static str, Verdict)> {
    let framework = FRAMEWORKS.iter().find(|framework| package.has(framework.dependency))?;
    if framework.dependency == "vite" && !is_vite_app(scope, package) {
        return None;
    }
    Some((framework.name, (framework.verdict)(scope, package)))
}

/// What builds on others stands before them: `SvelteKit` uses Vite too.
const FRAMEWORKS: &[Framework] = &[
    Framework { name: "Expo", dependency: "expo", verdict: |_, _| Verdict::Other },
    Framework { name: "React Native", dependency: "react-native", verdict: |_, _| Verdict::Other },
    Framework { name: "Electron", dependency: "electron", verdict: |_, _| Verdict::Other },
    Framework { name: "Next.js", dependency: "next", verdict: next },
    Framework { name: "Nuxt", dependency: "nuxt", verdict: nuxt },
    Framework { name: "SvelteKit", dependency: "@sveltejs/kit", verdict: sveltekit },
    Framework { name: "React Router", dependency: "@react-router/dev", verdict: react_router },
    Framework { name: "Remix", dependency: "@remix-run/dev", verdict: remix },
    Framework { name: "SolidStart", dependency: "@solidjs/start", verdict: vinxi },
    Framework { name: "TanStack Start", dependency: "@tanstack/react-start", verdict: vinxi },
    Framework { name: "Qwik City", dependency: "@builder.io/qwik-city", verdict: server },
    Framework { name: "Astro", dependency: "astro", verdict: astro },
    Framework { name: "Angular", dependency: "@angular/core", verdict: angular },
    Framework { name: "Gatsby", dependency: "gatsby", verdict: |_, _| files(Some("public")) },
    Framework { name: "Create React App", dependency: "react-scripts", verdict: |_, _| files(Some("build")) },
    Framework { name: "Vue CLI", dependency: "@vue/cli-service", verdict: |_, _| files(Some("dist")) },
    Framework { name: "Quasar", dependency: "@quasar/app-vite", verdict: |_, _| files(Some("dist/spa")) },
    Framework { name: "VitePress", dependency: "vitepress", verdict: |_, _| files(None) },
    Framework { name: "Docusaurus", dependency: "@docusaurus/core", verdict: |_, _| files(Some("build")) },
    Framework { name: "Eleventy", dependency: "@11ty/eleventy", verdict: |_, _| files(Some("_site")) },
    Framework { name: "Parcel", dependency: "parcel", verdict: |_, _| files(Some("dist")) },
    Framework { name: "Vite", dependency: "vite", verdict: vite },
    Framework { name: "Rsbuild", dependency: "@rsbuild/core", verdict: |_, _| files(Some("dist")) },
    Framework { name: "Webpack", dependency: "webpack", verdict: |_, _| files(None) },
    Framework { name: "NestJS", dependency: "@nestjs/core", verdict: |_, _| Verdict::Program },
    Framework { name: "Express", dependency: "express", verdict: |_, _| Verdict::Program },
    Framework { name: "Fastify", dependency: "fastify", verdict: |_, _| Verdict::Program },
    Framework { name: "Hono", dependency: "hono", verdict: |_, _| Verdict::Program },
    Framework { name: "Koa", dependency: "koa", verdict: |_, _| Verdict::Program },
];

fn files(output: Option<&str>) -> Verdict {
    Verdict::Static { output: output.map(str::to_owned), scripts: &[] }
}

fn server(_: &Scope<'_>, _: &Package) -> Verdict {
    Verdict::Server { instead: "a static build" }
}

fn next(scope: &Scope<'_>, package: &Package) -> Verdict {
    let config = package.config(scope, "next.config.");
    if config.contains("output:'export'") || package.script("build").contains("next export") {
        files(Some(&settings::text(&config, "distDir").unwrap_or_else(|| "out".to_owned())))
    } else if package.script("export").contains("next export") {
        // before Next.js 14 that was a step of its own
        Verdict::Static { output: Some("out".to_owned()), scripts: &[&["run", "build"], &["run", "export"]] }
    } else {
        Verdict::Server { instead: "`output: 'export'` in its configuration" }
    }
}

fn nuxt(scope: &Scope<'_>, package: &Package) -> Verdict {
    let config = package.config(scope, "nuxt.config.");
    let output = Some(".output/public".to_owned());
    if package.script("build").contains("generate") {
        return Verdict::Static { output, scripts: &[] };
    }
    let generated = |text: &str| text.contains("nuxt generate") || text.contains(".output/public");
    let said = || scope.recipes.iter().any(|recipe| !recipe.is_aside() && generated(recipe.text));
    if config.contains("ssr:false") || config.contains("preset:'static'") || said() {
        let own = package.scripts.contains_key("generate");
        let scripts: &[&[&str]] = if own { &[&["run", "generate"]] } else { &[&["exec", "nuxt", "generate"]] };
        return Verdict::Static { output, scripts };
    }
    Verdict::Server { instead: "`ssr: false` in its configuration" }
}

fn sveltekit(scope: &Scope<'_>, package: &Package) -> Verdict {
    let own = package.config(scope, "svelte.config.");
    // from SvelteKit 3 on it may be in Vite's
    let config = if own.is_empty() { package.config(scope, "vite.config.") } else { own.clone() };
    let is_silent = own.is_empty() && !config.contains("adapter");
    let names = |adapter: &str| config.contains(adapter) || (is_silent && package.has(adapter));
    if names("@sveltejs/adapter-static") {
        files(Some(&settings::text(&config, "pages").unwrap_or_else(|| "build".to_owned())))
    } else {
        Verdict::Server { instead: "`@sveltejs/adapter-static` in its configuration" }
    }
}

fn react_router(scope: &Scope<'_>, package: &Package) -> Verdict {
    if package.config(scope, "react-router.config.").contains("ssr:false") {
        files(Some("build/client"))
    } else {
        Verdict::Server { instead: "`ssr: false` in its configuration" }
    }
}

fn remix(scope: &Scope<'_>, package: &Package) -> Verdict {
    if package.config(scope, "vite.config.").contains("ssr:false") {
        files(Some("build/client"))
    } else {
        Verdict::Server { instead: "`ssr: false` in its configuration" }
    }
}

fn vinxi(scope: &Scope<'_>, package: &Package) -> Verdict {
    if package.config(scope, "app.config.").contains("ssr:false") {
        files(Some(".output/public"))
    } else {
        Verdict::Server { instead: "`ssr: false` in its configuration" }
    }
}

fn astro(scope: &Scope<'_>, package: &Package) -> Verdict {
    let config = package.config(scope, "astro.config.");
    let is_static = config.contains("output:'static'");
    // an adapter is for what a server renders, and moves the files into a folder of their own
    let has_adapter = config.contains("adapter:");
    if config.contains("output:'server'") || config.contains("output:'hybrid'") || (has_adapter && !is_static) {
        Verdict::Server { instead: "`output: 'static'` and no `adapter` in its configuration" }
    } else if has_adapter {
        files(Some("dist/client"))
    } else {
        files(Some(&settings::text(&config, "outDir").unwrap_or_else(|| "dist".to_owned())))
    }
}

fn vite(scope: &Scope<'_>, package: &Package) -> Verdict {
    let script = package.build_script().map(|name| package.script(name)).unwrap_or_default();
    let config = package.config(scope, "vite.config.");
    // what is said is relative to `root`, which some set to the folder of their sources
    let root = match settings::folder(&config, "root") {
        Said::Folder(root) | Said::Own(root) if !root.starts_with('/') => root,
        _ => String::new(),
    };
    let from_root = |path: String| paths::normal(&root, &path).unwrap_or(path);
    let output = match (flag(&script, "--outDir"), settings::folder(&config, "outDir")) {
        (Some(said), _) => Some(from_root(said.to_owned())),
        (None, Said::Folder(said)) => Some(from_root(said)),
        (None, Said::Own(said)) => Some(said),
        (None, Said::Nothing) => Some(from_root("dist".to_owned())),
        (None, Said::Unknown) => None,
    };
    files(output.as_deref())
}

/// What a script gives to an option: `--outDir ../dist`, `--outDir=dist`.
fn flag<'a>(script: &'a str, name: &str) -> Option<&'a str> {
    let mut words = script.split_whitespace();
    let value =
        words.find_map(|word| word.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('=')))?;
    let value = value.strip_prefix('=').or_else(|| words.next())?;
    Some(value.trim_matches(['"', '\'']))
}

/// Vite is often there only for tests or a library.
fn is_vite_app(scope: &Scope<'_>, package: &Package) -> bool {
    package.script("build").contains("vite")
        || ["index.html", "src/index.html"].iter().any(|page| scope.tree.is_file(&paths::join(&package.folder, page)))
}

/// The output of the first project, which `angular.json` names. Source: Angular's workspace configuration reference.
fn angular(scope: &Scope<'_>, package: &Package) -> Verdict {
    let text = scope.tree.text(&paths::join(&package.folder, "angular.json")).unwrap_or_default();
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let default = json["defaultProject"].as_str();
    let mut projects = json["projects"].as_object().into_iter().flatten();
    let project = projects.find(|(name, it)| {
        default.map_or(it["projectType"].as_str() != Some("library"), |default| default == name.as_str())
    });
    let Some((name, project)) = project else { return files(None) };
    let build = [&project["architect"]["build"], &project["targets"]["build"]].into_iter().find(|it| it.is_object());
    let Some(build) = build else { return files(None) };
    let said = &build["options"]["outputPath"];
    let base = said.as_str().or_else(|| said["base"].as_str()).map_or_else(|| format!("dist/{name}"), str::to_owned);
    let is_new = build["builder"].as_str().is_some_and(|builder| builder.ends_with(":application"));
    match (said["browser"].as_str(), is_new) {
        (Some(""), _) | (None, false) => files(Some(&base)),
        (Some(browser), _) => files(Some(&format!("{base}/{browser}"))),
        (None, true) => files(Some(&format!("{base}/browser"))),
    }
}
