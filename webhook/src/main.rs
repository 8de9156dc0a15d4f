//! The binary `mcp-webhook`: see the library.

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    let args = webhook::Args::parse();
    daemon::log::init(&args.log)?;
    daemon::install_crypto()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(webhook::run(args))
}
