//! `plumb user`: the accounts of people, on the service's own machine, also while the service
//! runs (which has its accounts page, too). The way back in when the password of the only
//! admin is lost. What it does stands in the audit log as done by the command line.

use std::process::ExitCode;

use super::output::{DataDir, Output, UsageError};
use crate::auth::{Role, Roles, password};
use crate::id::AccountId;
use crate::store::{Actor, PasswordKind, Store};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the accounts.
    List,
    /// Make an account; prints its one-time password.
    Add {
        name: AccountId,
        /// operator, manager, auditor, maintainer or admin; once more for manager and admin.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
    },
    /// Give an account a one-time password, and unlock it.
    Passwd { name: AccountId },
    /// Give an account other roles.
    Role {
        name: AccountId,
        #[arg(required = true)]
        roles: Vec<Role>,
    },
    /// Remove the second factor of somebody who lost the phone, and end their sessions.
    RemoveFactor { name: AccountId },
    /// Close an account.
    Disable { name: AccountId },
    /// Open an account that was closed.
    Enable { name: AccountId },
}

/// Runs the command. Fails when there is no such account, or when roles
/// conflict.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.data_dir
        .with_store(async |store, out| act(store, args.command, out).await)
}

async fn act(store: &Store, command: Command, out: &mut Output) -> anyhow::Result<()> {
    let who = Actor::command_line();
    match command {
        Command::List => return list(store, out).await,
        Command::Add { name, roles } => {
            let (told, roles) = (password::one_time(), checked(roles)?);
            let hash = password::hash(&told);
            store.add_account(&name, &roles, &hash, &who).await?;
            out.line(&format!("one-time password of {name} ({roles}): {told}"))?;
        }
        Command::Passwd { name } => {
            let told = password::one_time();
            let (hash, kind) = (password::hash(&told), PasswordKind::OneTime);
            store.set_password(&name, &hash, kind, &who).await?;
            out.line(&format!("one-time password of {name}: {told}"))?;
        }
        Command::Role { name, roles } => {
            let roles = checked(roles)?;
            store.set_roles(&name, &roles, &who).await?;
            out.line(&format!("{name} is {roles} now"))?;
        }
        Command::RemoveFactor { name } => {
            store.remove_second_factor(&name, &who).await?;
            out.line(&format!("{name} signs in with the password alone now"))?;
        }
        Command::Disable { name } => {
            store.disable_account(&name, &who).await?;
            out.line(&format!("{name} is disabled"))?;
        }
        Command::Enable { name } => {
            store.enable_account(&name, &who).await?;
            out.line(&format!("{name} is enabled"))?;
        }
    }
    Ok(())
}

async fn list(store: &Store, out: &mut Output) -> anyhow::Result<()> {
    for account in store.accounts().await? {
        let state = match (account.disabled_at_ms, account.locked_until_ms) {
            (Some(_), _) => "  disabled",
            (None, Some(_)) => "  locked",
            (None, None) if account.must_change_password => "  has a one-time password",
            (None, None) => "",
        };
        let factor = if account.has_second_factor {
            "  has a second factor"
        } else {
            ""
        };
        out.line(&format!(
            "{:24} {}{factor}{state}",
            account.name.as_str(),
            account.roles
        ))?;
    }
    Ok(())
}

/// Returns the roles together. Fails, as wrong usage, when they conflict.
pub(super) fn checked(roles: Vec<Role>) -> anyhow::Result<Roles> {
    Ok(Roles::new(roles).map_err(|error| UsageError(error.to_string()))?)
}
