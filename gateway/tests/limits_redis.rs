//! Rate limits in a real Redis: shared by gateways, and counted by each alone while it is gone.

#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]
#![allow(
    clippy::print_stdout,
    reason = "clippy knows only test functions as tests"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use access::RateEntry;
use api::RateLimitScope;
use http::StatusCode;
use support::upstream::{Slow, call, callable};
use support::*;

const PASSWORD: &str = "open-sesame";

/// The program, or `None` where it is not installed.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("KUBECTL_MCP_TEST_REDIS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).map(|folder| folder.join("redis-server"));
    let found = named.or_else(|| folders.find(|program| program.exists()));
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "redis-server must be on PATH, or named by KUBECTL_MCP_TEST_REDIS, under CI=true"
        );
        println!("left out because there is no redis-server on PATH");
    }
    found
}

struct Redis {
    program: PathBuf,
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Redis {
    fn start() -> Option<Self> {
        let mut redis = Self {
            program: program()?,
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
            child: None,
        };
        std::fs::write(redis.password(), format!("{PASSWORD}\n")).unwrap();
        redis.run();
        Some(redis)
    }

    fn run(&mut self) {
        let child = Command::new(&self.program)
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--requirepass",
                PASSWORD,
            ])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn password(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn log(&self, gateway: &str) -> PathBuf {
        self.folder.path().join(gateway)
    }

    /// A gateway that shares its limits here; `patience` in milliseconds.
    async fn stand(
        &self,
        gateway: &str,
        limits: &[RateEntry],
        slow: &Slow,
        patience: u32,
    ) -> Stand {
        let mut world = callable();
        world.settings.limits.rates = limits.to_vec();
        let extra = Extra {
            flags: vec![
                format!("--redis=127.0.0.1:{}", self.port),
                format!("--redis-password-file={}", self.password().display()),
                format!("--redis-timeout-ms={patience}"),
            ],
            log: Some(self.log(gateway)),
            ..Extra::default()
        };
        Stand::with(world, slow.port, &extra).listening().await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn until_shared(stand: &Stand, shared: bool) {
    let line = format!("mcp_gateway_redis_up {}\n", u8::from(shared));
    stand
        .until(line.trim(), || async {
            stand.admin("/metrics").await.body.contains(&line)
        })
        .await;
}

fn limit(scope: RateLimitScope, burst: u32) -> RateEntry {
    // Tokens come so slowly that none comes while a test runs.
    RateEntry {
        scope,
        tool: None,
        requests: burst,
        per_us: 3_600_000_000 * u64::from(burst),
        burst,
    }
}

async fn passes(stand: &Stand, who: &str) -> bool {
    let reply = stand.post(who, &[], &call(1, "echo")).await;
    assert!(
        reply.status == StatusCode::OK || reply.reason() == "rate_limited",
        "{reply:?}"
    );
    reply.status == StatusCode::OK
}

fn said(log: &Path, what: &str) -> usize {
    std::fs::read_to_string(log).unwrap().matches(what).count()
}

#[tokio::test]
async fn two_gateways_give_out_the_tokens_of_one() {
    let Some(redis) = Redis::start() else { return };
    let slow = Slow::start().await;
    let limits = [
        limit(RateLimitScope::Subject, 10),
        limit(RateLimitScope::Server, 15),
    ];
    let one = redis.stand("one", &limits, &slow, 10_000).await;
    let two = redis.stand("two", &limits, &slow, 10_000).await;
    until_shared(&one, true).await;
    until_shared(&two, true).await;
    let mut passed = [0, 0];
    for _ in 0..10 {
        for stand in [&one, &two] {
            passed[0] += u32::from(passes(stand, "alice").await);
        }
    }
    for _ in 0..10 {
        for stand in [&one, &two] {
            passed[1] += u32::from(passes(stand, "bob").await);
        }
    }
    assert_eq!(
        passed,
        [10, 5],
        "what alice was refused took no token of the server's"
    );
    let refused = one.post("alice", &[], &call(2, "echo")).await;
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3600).contains(&wait), "{refused:?}");
    for gateway in ["one", "two"] {
        assert_eq!(
            said(&redis.log(gateway), PASSWORD),
            0,
            "the password is in no log"
        );
    }
}

#[tokio::test]
async fn while_redis_is_gone_each_gateway_counts_by_itself_and_it_comes_back_unasked() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let slow = Slow::start().await;
    let stand = redis
        .stand(
            "gateway",
            &[limit(RateLimitScope::Subject, 3)],
            &slow,
            10_000,
        )
        .await;
    until_shared(&stand, true).await;
    assert!(passes(&stand, "alice").await);
    redis.kill();
    let mut passed = 1;
    for _ in 0..10 {
        passed += u32::from(passes(&stand, "alice").await);
    }
    assert_eq!(passed, 3, "what was spent in Redis is spent here as well");
    until_shared(&stand, false).await;
    redis.run();
    until_shared(&stand, true).await;
    for _ in 0..3 {
        assert!(passes(&stand, "bob").await);
    }
    assert!(!passes(&stand, "bob").await);
    assert_eq!(
        said(&redis.log("gateway"), "Redis is gone"),
        1,
        "it is said once"
    );
    assert_eq!(said(&redis.log("gateway"), "no connection to Redis"), 0);
    assert_eq!(
        said(&redis.log("gateway"), "rate limits are shared in Redis"),
        2
    );
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_one_call_for_a_moment_and_then_none() {
    let Some(redis) = Redis::start() else { return };
    let slow = Slow::start().await;
    let stand = redis
        .stand("gateway", &[limit(RateLimitScope::Subject, 100)], &slow, 50)
        .await;
    until_shared(&stand, true).await;
    redis.signal("-STOP");
    for _ in 0..100 {
        assert!(passes(&stand, "alice").await);
    }
    assert!(!passes(&stand, "alice").await, "counted by this gateway");
    until_shared(&stand, false).await;
    redis.signal("-CONT");
    until_shared(&stand, true).await;
}

#[tokio::test]
async fn a_password_that_is_renewed_is_read_again() {
    let Some(redis) = Redis::start() else { return };
    std::fs::write(redis.password(), "wrong").unwrap();
    let slow = Slow::start().await;
    let stand = redis
        .stand(
            "gateway",
            &[limit(RateLimitScope::Subject, 1)],
            &slow,
            10_000,
        )
        .await;
    assert!(
        passes(&stand, "alice").await,
        "without Redis it counts by itself"
    );
    stand
        .until("it is said that Redis does not let it in", || async {
            said(&redis.log("gateway"), "no connection to Redis") == 1
        })
        .await;
    std::fs::write(redis.password(), PASSWORD).unwrap();
    until_shared(&stand, true).await;
    assert_eq!(said(&redis.log("gateway"), "no connection to Redis"), 1);
}
