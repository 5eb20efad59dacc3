//! Domains of an app's own: over fakes, and on each stack with a real app behind them.

use std::collections::BTreeSet;

use lab_core::{
    CustomDomain, DomainError, Error, Lab, MAX_DOMAINS,
    router::{Hostname, RouterConfig, RouterError, Target, Unavailable},
};
use serde_json::json;

use crate::{
    parts::{Repository, Visitor},
    server::Server,
    stack::{Stack, on_every_stack},
    world::{World, deploy, finished, name, request},
};

on_every_stack!(async an_app_answers_under_its_own_domain);

fn domain(text: &str) -> CustomDomain {
    text.parse().unwrap()
}

/// Where a host leads.
async fn target(world: &World, host: &str) -> Option<Target> {
    world.router.table().await.unwrap().get(host).map(|route| route.target.clone())
}

async fn may_have_certificate(lab: &Lab, host: &str) -> bool {
    lab.has_host(&host.parse().unwrap()).await.unwrap()
}

#[test]
fn a_domain_leads_where_its_apps_own_host_does() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        let app = name("app");
        let leads = async |expected: Option<Target>| {
            let is_led = expected.is_some();
            assert_eq!(target(&world, "shop.example.test").await, expected);
            assert_eq!(may_have_certificate(lab, "shop.example.test").await, is_led);
        };
        leads(None).await;
        for _ in 0..2 {
            let domains = lab.add_domain(&app, domain("shop.example.test")).await.unwrap();
            assert_eq!(domains, BTreeSet::from([domain("shop.example.test")]));
        }
        leads(world.target("app")).await;
        lab.stop(&app).await.unwrap();
        leads(Some(Target::Unavailable(Unavailable::Stopped))).await;
        lab.restart(&app).await.unwrap();
        leads(world.target("app")).await;
        deploy(lab, "app").await;
        leads(world.target("app")).await;
        // the requests of each host were waited for
        let drained = world.router.drained();
        let hosts: Vec<&str> = drained.iter().map(Hostname::as_str).collect();
        assert_eq!(hosts, ["app.lab.localhost", "shop.example.test"]);
        assert_eq!(lab.domains(&app).await.unwrap().len(), 1);
        assert!(lab.remove_domain(&app, domain("shop.example.test")).await.unwrap().is_empty());
        leads(None).await;
        let again = lab.remove_domain(&app, domain("shop.example.test")).await.unwrap_err();
        assert!(matches!(again, Error::Domain(DomainError::Unknown { .. })), "{again}");
    });
}

#[test]
fn a_domain_is_one_apps_and_free_once_that_is_removed() {
    let world = World::new();
    world.life(async |lab| {
        for app in ["one", "two"] {
            deploy(lab, app).await;
        }
        let shop = || domain("shop.example.test");
        let (one, two) = (name("one"), name("two"));
        let (first, second) = tokio::join!(lab.add_domain(&one, shop()), lab.add_domain(&two, shop()));
        let (owner, other, refused) = match (first, second) {
            (Ok(_), Err(refused)) => (one, two, refused),
            (Err(refused), Ok(_)) => (two, one, refused),
            both => panic!("{both:?}"),
        };
        assert!(refused.code() == "domain_taken" && refused.to_string().contains(owner.as_str()), "{refused}");
        lab.remove(&owner, false).await.unwrap();
        assert!(!may_have_certificate(lab, "shop.example.test").await);
        lab.add_domain(&other, shop()).await.unwrap();
    });
    // another life has read the records again
    world.life(async |lab| {
        assert!(may_have_certificate(lab, "shop.example.test").await);
        lab.idle().await;
        assert!(matches!(target(&world, "shop.example.test").await, Some(Target::Port(_))));
    });
}

#[test]
fn the_labs_own_hosts_and_too_many_are_refused() {
    let world = World::new();
    world.life(async |lab| {
        let app = name("app");
        let nobody = lab.add_domain(&app, domain("shop.example.test")).await.unwrap_err();
        assert_eq!(nobody.code(), "app_not_found");
        deploy(lab, "app").await;
        for own in ["lab.localhost", "app.lab.localhost", "other.lab.localhost", "x.app.lab.localhost"] {
            let refused = lab.add_domain(&app, domain(own)).await.unwrap_err();
            assert!(matches!(refused, Error::Domain(DomainError::OfLab { .. })), "{own}: {refused}");
        }
        for n in 0..MAX_DOMAINS {
            lab.add_domain(&app, domain(&format!("shop-{n}.example.test"))).await.unwrap();
        }
        let refused = lab.add_domain(&app, domain("one-more.example.test")).await.unwrap_err();
        assert_eq!(refused.code(), "too_many_domains");
        lab.add_domain(&app, domain("shop-1.example.test")).await.expect("one that it has");
        let started = lab.deploy(request("app")).await.unwrap();
        let busy = lab.remove_domain(&app, domain("shop-1.example.test")).await.unwrap_err();
        assert_eq!(busy.code(), "app_busy");
        finished(lab, "app", started.deployment).await;
    });
}

#[test]
fn routes_that_the_router_did_not_take_are_given_again() {
    let world = World::new();
    world.life(async |lab| {
        deploy(lab, "app").await;
        world.router.fail_next(RouterError::Failed { source: "it is away".into() });
        let failed = lab.add_domain(&name("app"), domain("shop.example.test")).await.unwrap_err();
        assert_eq!(failed.code(), "router_unreachable");
        // and nothing else happens to any app
        while target(&world, "shop.example.test").await.is_none() {
            tokio::task::yield_now().await;
        }
    });
}

async fn an_app_answers_under_its_own_domain(stack: Stack) {
    let server = Server::start_on(stack);
    server.deploy("app", &Repository::of_files(&[("pb_public/index.html", "<html>app</html>")]));
    let visitor = Visitor::of_host("shop.example.test", server.public_port);
    assert_eq!(visitor.get("/").await.0, 404);
    assert_eq!(server.lab_json(&["domains", "app", "list"]), json!([]));
    let added = server.lab_json(&["domains", "app", "add", "Shop.Example.Test"]);
    assert_eq!(added, json!({"domains": ["shop.example.test"]}));
    let page = (200, "<html>app</html>".to_owned());
    assert_eq!(visitor.get("/").await, page);
    let shown = |words: &[&str]| String::from_utf8_lossy(&server.lab(words).stdout).into_owned();
    for words in [&["routes"][..], &["show", "app"], &["domains", "app", "ls"]] {
        assert!(shown(words).contains("shop.example.test"), "{words:?}: {}", shown(words));
    }
    assert!(server.lab(&["restart", "app"]).status.success());
    assert_eq!(visitor.get("/").await, page);
    let refused = server.lab(&["domains", "app", "add", "other.lab.localhost"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let removed = server.lab_json(&["domains", "app", "remove", "shop.example.test"]);
    assert_eq!(removed, json!({"domains": []}));
    assert_eq!(visitor.get("/").await.0, 404);
    assert_eq!(server.visit("app").get("/").await, page);
}
