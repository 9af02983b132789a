//! `plumb token`: the tokens of programs, on the service's own machine, also while the service
//! runs (which has `/api/v1/tokens`, too). A token is printed once, when it is made.

use std::process::ExitCode;

use super::output::{DataDir, Output};
use super::user::checked;
use crate::auth::Role;
use crate::auth::secret::ClientSecret;
use crate::clock::{Clock, SystemClock};
use crate::id::TokenId;
use crate::store::{Actor, Store};

const DAY_MS: i64 = 24 * 3600 * 1000;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the tokens, without their secrets.
    List,
    /// Make a token and print it, alone on its line.
    Add {
        name: TokenId,
        /// operator, manager, auditor, maintainer or admin; once more for manager and admin.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Days until it is over, 1 to 3650; left out, it holds until it is revoked.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: Option<u16>,
    },
    /// Make a token worthless.
    Revoke { name: TokenId },
}

/// Runs the command. Fails when there is no such token, or when roles
/// conflict.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.data_dir
        .with_store(async |store, out| act(store, args.command, out).await)
}

async fn act(store: &Store, command: Command, out: &mut Output) -> anyhow::Result<()> {
    let who = Actor::command_line();
    match command {
        Command::List => {
            for token in store.tokens().await? {
                let state = match (token.revoked_at_ms, token.is_over) {
                    (Some(_), _) => "  revoked",
                    (None, true) => "  expired",
                    (None, false) => "",
                };
                out.line(&format!(
                    "{:24} {}{state}",
                    token.name.as_str(),
                    token.roles
                ))?;
            }
        }
        Command::Add { name, roles, days } => {
            let (secret, roles) = (ClientSecret::new_token(), checked(roles)?);
            let now_ms = SystemClock::new().now().as_millisecond();
            let expires_at_ms = days.map(|days| now_ms + i64::from(days) * DAY_MS);
            let digest = secret.digest();
            store
                .add_token(&name, &roles, &digest, expires_at_ms, &who)
                .await?;
            out.line(secret.reveal())?;
        }
        Command::Revoke { name } => {
            store.revoke_token(&name, &who).await?;
            out.line(&format!("{name} is revoked"))?;
        }
    }
    Ok(())
}
