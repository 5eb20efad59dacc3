//! The published suites over every backend here.

use std::{net::SocketAddr, sync::Arc};

use lab_core::{
    health::{HealthError, HealthProbe, http::HttpProbe},
    router::{RouteTable, RouterConfig, RouterError, gateway::GatewaySettings, memory::MemoryRouter},
    testing::{
        Subject,
        health::FakeProbe,
        router::{FakeRouter, table},
    },
};

use super::running::{Running, target};

mod memory {
    use super::*;

    lab_core::router_conformance!(async { Subject::<dyn RouterConfig>::new(Arc::new(MemoryRouter::new())) });
}

mod fake {
    use super::*;

    lab_core::router_conformance!(async { Subject::<dyn RouterConfig>::new(Arc::new(FakeRouter::new())) });

    #[tokio::test]
    async fn a_failure_leaves_the_table() {
        let router = FakeRouter::new();
        let first = table([("a.example.test", target(20001))]);
        router.apply(first.clone()).await.unwrap();
        router.fail_next(RouterError::Rejected { reason: "no".to_owned() });
        assert!(router.apply(RouteTable::new()).await.is_err());
        assert_eq!(router.table().await.unwrap(), first);
        router.apply(RouteTable::new()).await.unwrap();
        assert_eq!(router.journal(), [first, RouteTable::new()]);
    }

    #[tokio::test]
    async fn two_apps_on_one_port_are_rejected() {
        let router = FakeRouter::new();
        let told = router.apply(table([("a.example.test", target(20001)), ("b.example.test", target(20001))])).await;
        assert!(matches!(told, Err(RouterError::Rejected { .. })));
    }
}

mod in_process {
    use super::*;

    async fn make() -> Subject<dyn RouterConfig> {
        let running = Running::start(GatewaySettings::default()).await;
        Subject::<dyn RouterConfig>::new(Arc::new(running.gateway.clone())).with(running)
    }

    lab_core::router_conformance!(make());
}

mod traffic {
    use super::*;

    async fn make() -> (Subject<dyn RouterConfig>, SocketAddr) {
        let mut settings = GatewaySettings::default();
        // an app that is gone is given up soon
        settings.timeouts.comeback = std::time::Duration::from_millis(100);
        let running = Running::start(settings).await;
        let address = running.address;
        (Subject::<dyn RouterConfig>::new(Arc::new(running.gateway.clone())).with(running), address)
    }

    lab_core::router_traffic_conformance!(make());
}

mod health {
    use super::*;

    lab_core::health_conformance!(async { Subject::<dyn HealthProbe>::new(Arc::new(HttpProbe::new())) });

    #[tokio::test]
    async fn the_fake_follows_its_script() {
        let (probe, port) = (FakeProbe::new(), lab_core::Port::new(20001).unwrap());
        probe.script(port, [Err(HealthError::Refused(port)), Ok(())]);
        let ask = || probe.probe(port, "/x", std::time::Duration::ZERO);
        assert_eq!((ask().await, ask().await, ask().await), (Err(HealthError::Refused(port)), Ok(()), Ok(())));
        assert_eq!(probe.journal().len(), 3);
    }

    #[tokio::test]
    async fn a_path_cannot_lead_the_probe_elsewhere() {
        let port = lab_core::Port::new(1).unwrap();
        for path in ["http://example.test/", "//", "x", "/a b", "/\r\nx: y"] {
            let told = HttpProbe::new().probe(port, path, std::time::Duration::from_secs(5)).await;
            assert!(matches!(told, Err(HealthError::NoAnswer { .. } | HealthError::Refused(_))), "{path}: {told:?}");
        }
    }
}
