//! What every router must do, in both layouts.

use std::{net::SocketAddr, sync::Arc};

use lab_core::{
    router::{RouterConfig, caddy::CaddyLayout},
    testing::Subject,
};

use super::running::{Running, eventually};

async fn subject(layout: CaddyLayout) -> (Subject<dyn RouterConfig>, SocketAddr) {
    let running = Running::start(layout).await;
    let (router, address) = (running.open().await, running.address());
    eventually("Caddy's listener", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    (Subject::<dyn RouterConfig>::new(Arc::new(router)).with(running), address)
}

mod edge {
    use super::*;
    lab_core::router_conformance!(async { subject(CaddyLayout::Edge).await.0 });
    mod traffic {
        use super::*;
        lab_core::router_traffic_conformance!(subject(CaddyLayout::Edge));
    }
}

mod direct {
    use super::*;
    lab_core::router_conformance!(async { subject(CaddyLayout::Direct).await.0 });
    mod traffic {
        use super::*;
        // all but `no_request_fails_during_changes`: any change makes Caddy close connections, see `changes`
        lab_core::router_traffic_conformance! { @each subject(CaddyLayout::Direct);
            requests_are_routed_by_host,
            a_request_arrives_whole,
            an_unknown_host_gets_404,
            an_unavailable_app_gets_503,
            an_app_that_is_gone_gets_502,
            a_change_is_followed_at_once,
            tables_applied_at_once_are_followed_as_table_says,
            streams_of_other_hosts_survive_changes,
            events_arrive_one_by_one,
            a_visitor_who_leaves_ends_the_apps_stream,
            a_websocket_carries_both_ways,
            an_upload_is_not_gathered,
            answers_without_body_have_none,
            the_app_sees_host_and_visitor,
            a_visitor_cannot_forge_its_address,
            hop_by_hop_headers_stay_behind,
        }
    }
}
