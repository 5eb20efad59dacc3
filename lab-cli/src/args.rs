//! The command line.

#![expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
#![allow(rustdoc::bare_urls, reason = "the same")]

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{OsStr, Resettable},
};
use lab_core::{
    AppName, CustomDomain, DataPointId, DeploymentId, GitRef, ReleaseId, VariableName, builder::RepoPath,
    rehearsal::RehearsalPolicy,
};
use semver::Version;

/// Deploys and looks after PocketBase apps on a lab server.
///
/// The server is found by --url or LAB_URL (with LAB_API_KEY), else by its socket: --socket or LAB_SOCKET, $DATA_DIR/lab.sock,
/// ./data/lab.sock, /var/lib/lab/lab.sock, /app/data/lab.sock, else at http://127.0.0.1:9000.
#[derive(Debug, Parser)]
#[command(name = "lab", version, about, long_about, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Prints one JSON object: {"ok": true, "data": …} or {"ok": false, "error": {"code", "message", "hint"?}}; streams
    /// print one per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 the request makes no sense, 3 not found, 4 conflict or busy, \
    5 the app's fault (its deployment failed), 6 no server, or not allowed, 130 left with Ctrl-C";

impl Arguments {
    /// Reads a command line, its program's name first, and the environment. A variable that is set to nothing counts as
    /// not set.
    pub(crate) fn read_from(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut matches = Self::command().mut_args(without_empty).try_get_matches_from(words)?;
        Self::from_arg_matches_mut(&mut matches)
    }
}

fn without_empty(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::<OsStr>::Reset) } else { arg }
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The server's address, such as https://lab.example.com
    #[arg(long, env = "LAB_URL", global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The server's socket
    #[arg(long, env = "LAB_SOCKET", global = true, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
    /// The API's key; rather by the variable: others on this machine see flags
    #[arg(long, env = "LAB_API_KEY", global = true, hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
    /// The local server's data directory
    #[arg(long, env = "DATA_DIR", global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What `lab` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deploys a repository, or the checkout you stand in; deploys a known app again
    Deploy(Deploy),
    /// Lists the apps
    #[command(visible_alias = "list")]
    Ls,
    /// Shows an app
    Show {
        /// The app
        app: AppName,
    },
    /// Shows what an app printed
    Logs {
        /// The app
        app: AppName,
        /// Goes on as it prints, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
    },
    /// Stops and starts an app
    Restart {
        /// The app
        app: AppName,
    },
    /// Stops an app; it stays stopped
    Stop {
        /// The app
        app: AppName,
    },
    /// Starts an app
    Start {
        /// The app
        app: AppName,
    },
    /// Removes an app; its data goes to the trash
    Rm {
        /// The app
        app: AppName,
        /// Deletes its data at once
        #[arg(long)]
        purge: bool,
        /// Does not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Lists an app's deployments
    Deployments {
        /// The app
        app: AppName,
    },
    /// Gives an app another PocketBase, after a rehearsal on a copy of its data
    Upgrade {
        /// The app
        #[arg(required_unless_present = "all")]
        app: Option<AppName>,
        /// Every app: first a rehearsal of each, then those that passed: one, then four at a time, until one fails
        #[arg(long, conflicts_with = "app")]
        all: bool,
        /// The version; none: the server's default
        #[arg(long, value_name = "VERSION")]
        to: Option<Version>,
        /// Lets its migrations take collections, fields or rows away
        #[arg(long)]
        accept_loss: bool,
        /// Does not ask before the apps that passed are upgraded
        #[arg(short, long)]
        yes: bool,
        /// Does not wait for the end
        #[arg(long, conflicts_with = "all")]
        detach: bool,
    },
    /// Lists an app's releases: what it can be rolled back to
    Releases {
        /// The app
        app: AppName,
    },
    /// Lets an earlier release serve again, without building it; the app's data stays as it is
    Rollback {
        /// The app
        app: AppName,
        /// The release; none: the one before the one that serves
        release: Option<ReleaseId>,
        /// Brings the data back as well, to the newest data point of that release
        #[arg(long)]
        with_data: bool,
        /// Does not ask
        #[arg(short, long)]
        yes: bool,
        /// Does not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Looks after an app's variables: its environment
    Env {
        /// The app
        app: AppName,
        /// What to do
        #[command(subcommand)]
        what: Env,
    },
    /// Looks after the domains of an app's own that lead to it, beside its host below the lab's domain
    Domains {
        /// The app
        app: AppName,
        /// What to do
        #[command(subcommand)]
        what: Domains,
    },
    /// Looks after an app's data points: copies of its data
    Data {
        /// The app
        app: AppName,
        /// What to do
        #[command(subcommand)]
        what: Data,
    },
    /// Shows the log of a deployment, of the last one unless an id is given
    Log {
        /// The app
        app: AppName,
        /// The deployment
        id: Option<DeploymentId>,
    },
    /// Cancels a deployment, the one under way unless an id is given
    Cancel {
        /// The app
        app: AppName,
        /// The deployment
        id: Option<DeploymentId>,
    },
    /// Shows how a repository would be built and run, without doing it; needs no server
    Plan {
        /// A folder, or a repository's address
        #[arg(default_value = ".")]
        source: String,
        /// The app's folder in it, where there are several
        #[arg(long, value_name = "FOLDER")]
        root: Option<RepoPath>,
        /// The branch, tag or commit
        #[arg(short, long)]
        branch: Option<GitRef>,
    },
    /// Creates a PocketBase superuser, or gives one a new password; the password is shown once
    Superuser {
        /// The app
        app: AppName,
        /// The superuser's email address
        email: String,
        /// Reads the password from standard input instead of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// Prints an app's address, and on a terminal opens it
    Open {
        /// The app
        app: AppName,
    },
    /// Shows which host leads where
    Routes {
        /// As a Caddyfile that does the same, to read or to take away
        #[arg(long)]
        caddyfile: bool,
    },
    /// Deletes what builds keep for the next ones: packages, tools, dependencies
    ClearCache,
    /// Looks for what is wrong, and says what to do
    Doctor,
    /// Prints a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What can be done with domains.
#[derive(Debug, Subcommand)]
pub(crate) enum Domains {
    /// Lists them
    #[command(visible_alias = "ls")]
    List,
    /// Makes one lead to the app; its DNS must lead to the server as well
    Add {
        /// The domain
        domain: CustomDomain,
    },
    /// Takes one away
    #[command(visible_alias = "rm")]
    Remove {
        /// The domain
        domain: CustomDomain,
    },
}

/// What can be done with variables.
#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    /// Lists their names; their values are for the app only
    #[command(visible_alias = "ls")]
    List,
    /// Sets some; an app that runs is restarted with them
    Set {
        /// The variables; rather by a file: others on this machine see a command's words
        #[arg(value_name = "NAME=VALUE", required_unless_present = "file")]
        variables: Vec<String>,
        /// Reads them from a file as .env files are, `-` for standard input
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Leaves the app as it runs
        #[arg(long)]
        no_restart: bool,
    },
    /// Takes some away; an app that runs is restarted without them
    Unset {
        /// Their names
        #[arg(required = true)]
        names: Vec<VariableName>,
        /// Leaves the app as it runs
        #[arg(long)]
        no_restart: bool,
    },
}

/// What can be done with data points.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Takes one; the app runs on
    Snapshot,
    /// Lists them
    #[command(visible_alias = "ls")]
    List,
    /// Puts one in the place of the app's data; what it replaces becomes a data point
    Restore {
        /// The data point
        id: DataPointId,
        /// Does not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Writes one into a zip file, as PocketBase's own backups are
    Download {
        /// The data point
        id: DataPointId,
        /// The file [default: <app>-<id>.zip]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Looks whether every database of one is whole
    Verify {
        /// The data point
        id: DataPointId,
    },
}

/// What to deploy.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a command line")]
pub(crate) struct Deploy {
    /// The repository's address; `.` or none: the origin of the checkout you stand in; none with the --name of a known app:
    /// that app's own
    pub(crate) repository: Option<String>,
    /// The app's name, which is also its place below the lab's domain; none: the repository's name
    #[arg(short, long)]
    pub(crate) name: Option<AppName>,
    /// The branch, tag or commit; none: what the app follows, at first the remote's HEAD
    #[arg(short, long)]
    pub(crate) branch: Option<GitRef>,
    /// The app's folder in the repository, where there are several; kept for later
    #[arg(long, value_name = "FOLDER")]
    pub(crate) root: Option<RepoPath>,
    /// When releases are tried on a copy of the data before they serve: auto (migrations, hooks or the program changed),
    /// always, never; kept for later
    #[arg(long, value_name = "WHEN")]
    pub(crate) rehearse: Option<RehearsalPolicy>,
    /// Goes on where a rehearsal shows that migrations take collections, fields or rows away
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// Begins a new app with the pb_data that the repository holds; data that is there stays
    #[arg(long)]
    pub(crate) seed_data: bool,
    /// Gives the app the variables in a file as .env files are, `-` for standard input, beside those it has
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Reads a token for the private repository from standard input; it is kept for later
    #[arg(long)]
    pub(crate) token_stdin: bool,
    /// Returns at once; `lab log` shows the rest
    #[arg(short, long)]
    pub(crate) detach: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_are_checked_before_anything_is_sent() {
        assert!(Arguments::try_parse_from(["lab", "show", "My App"]).is_err());
        assert!(Arguments::try_parse_from(["lab", "show", "my-app", "--json"]).is_ok());
    }
}
