//! Writes what is made from the definitions: manual pages, completions, the default configuration.
//! `cargo run --release --example generate -- DIR`

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap_complete::{Shell, generate_to};
use tmux_gate::{cli, config};

fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).ok_or("usage: generate DIR")?;
    let target = Path::new(&target);
    let (man, completions) = (target.join("man"), target.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    fs::write(man.join("tmux-gate.1"), command_page()?)?;
    fs::write(man.join("tmux-gate.toml.5"), configuration_page())?;
    fs::write(target.join("config.toml"), config::default_file())?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut cli::command(), "tmux-gate", &completions)?;
    }
    Ok(())
}

/// tmux-gate(1): name, synopsis, options and verbs from the definitions, the rest as written beside this file.
fn command_page() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut command = cli::command();
    command.build();
    let page =
        clap_mangen::Man::new(command.clone()).date("2026-11").source(concat!("tmux-gate ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    let mut verbs = String::from(".SH VERBS\n");
    for verb in command.get_subcommands() {
        let line = usage(verb);
        write!(verbs, ".TP\n\\fB{}\\fR{line}\n{}\n", verb.get_name(), escaped(&about(verb)))?;
    }
    text.extend_from_slice(verbs.as_bytes());
    text.extend_from_slice(include_bytes!("man/tmux-gate.1.tail"));
    Ok(text)
}

fn usage(verb: &clap::Command) -> String {
    let mut line = String::new();
    for argument in verb.get_arguments().filter(|a| a.get_id() != "help") {
        line += &match argument.get_long() {
            Some(long) => format!(" [\\fB\\-\\-{}\\fR]", escaped(long)),
            None => format!(" [\\fI{}\\fR]", argument.get_id().as_str().to_uppercase()),
        };
    }
    line
}

fn about(verb: &clap::Command) -> String {
    verb.get_about().map(ToString::to_string).unwrap_or_default() + "."
}

/// tmux-gate.toml(5), from the table of keys.
fn configuration_page() -> String {
    let mut page = String::from(include_str!("man/tmux-gate.toml.5.head"));
    let mut table = "";
    for key in config::KEYS {
        if key.table != table {
            table = key.table;
            page += &format!(".SS {}\n", key.heading());
        }
        let (example, default) = (escaped(key.example), escaped(key.default));
        page += &format!(".TP\n\\fB{}\\fR = {example}\n{} Default: {default}.\n", key.name, escaped(key.meaning));
    }
    page += include_str!("man/tmux-gate.toml.5.tail");
    page
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
