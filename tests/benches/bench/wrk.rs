//! What `wrk --latency` prints.

/// What one load found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// How many requests were answered.
    pub requests: f64,
    /// How many a second.
    pub per_second: f64,
    /// Half of the requests took at most so many milliseconds.
    pub p50: f64,
    /// 99 of 100 took at most so many milliseconds.
    pub p99: f64,
}

/// Reads wrk's report.
///
/// # Errors
/// A report of requests that failed: their speed is no measurement.
pub fn parse(report: &str) -> Result<Load, String> {
    let find = |start: &str| report.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    let bad = || format!("this is no report of wrk: {report}");
    for failure in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(count) = find(failure) {
            return Err(format!("requests failed: {failure} {count}"));
        }
    }
    let total = report.lines().find(|line| line.contains(" requests in ")).ok_or_else(bad)?;
    let load = Load {
        requests: total.split_whitespace().next().and_then(|n| n.parse().ok()).ok_or_else(bad)?,
        per_second: find("Requests/sec:").and_then(|n| n.parse().ok()).ok_or_else(bad)?,
        p50: find("50%").and_then(millis).ok_or_else(bad)?,
        p99: find("99%").and_then(millis).ok_or_else(bad)?,
    };
    if load.requests > 0.0 { Ok(load) } else { Err("no request was answered".to_owned()) }
}

/// `630.00us`, `1.23ms`, `1.10s`.
fn millis(text: &str) -> Option<f64> {
    let (number, factor) = match text {
        _ if text.ends_with("us") => (text.trim_end_matches("us"), 0.001),
        _ if text.ends_with("ms") => (text.trim_end_matches("ms"), 1.0),
        _ => (text.strip_suffix('s')?, 1000.0),
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:20000/\n  2 threads and 32 connections\n  Thread Stats   Avg      \
        Stdev     Max   +/- Stdev\n    Latency   630.00us    1.10ms  20.00ms   90.00%\n    Req/Sec    15.00k     1.00k   \
        17.00k    70.00%\n  Latency Distribution\n     50%  630.00us\n     75%    1.00ms\n     90%    2.00ms\n     99%    \
        5.25ms\n  30000 requests in 1.00s, 3.00MB read\nRequests/sec:  29876.54\nTransfer/sec:      3.00MB\n";

    #[test]
    fn a_report_is_read() {
        let load = Load { requests: 30_000.0, per_second: 29_876.54, p50: 0.63, p99: 5.25 };
        assert_eq!(parse(REPORT), Ok(load));
        assert_eq!(parse(&REPORT.replace("5.25ms", "1.10s")).map(|load| load.p99), Ok(1100.0));
    }

    #[test]
    fn a_report_of_failures_is_no_measurement() {
        for failure in ["  Socket errors: connect 0, read 3, write 0, timeout 0\n", "  Non-2xx or 3xx responses: 7\n"] {
            let error = parse(&format!("{REPORT}{failure}")).expect_err("failures");
            assert!(error.starts_with("requests failed"), "{error}");
        }
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused").is_err());
        assert!(parse(&REPORT.replace("30000 requests", "0 requests")).is_err());
    }
}
