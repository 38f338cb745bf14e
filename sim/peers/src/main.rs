//! Compares the mesh with other libraries for the same purpose, on one kind of simulated network.
//!
//! [`course`] describes the events of a run, [`tape`] the observations, [`figures`] the course of each figure. Phalanx
//! and foca ([`swim`]) run on Phalanx's model engine ([`modelled`]): Phalanx on streams, where a lost segment causes a
//! delay, and foca on datagrams. chitchat ([`scuttlebutt`]) is written for tokio and runs on tokio's own virtual time.
//! The program prints only counts and virtual times.

mod course;
mod figures;
mod modelled;
mod scuttlebutt;
mod swim;
mod table;
mod tape;

use figures::{Figures, measure};
use std::process::ExitCode;

const USAGE: &str = "Usage: phalanx-sim-peers [--sizes N,N...] [--seeds N] [--chitchat-up-to N]

  --sizes           how many nodes, each (30,100,300)
  --seeds           runs of each course, 1 to 100 (3); from 100 nodes on, chitchat has one
  --chitchat-up-to  the largest mesh that chitchat is run with (300): there it takes many minutes";

/// Number of nodes from which chitchat runs with only one seed, because its work for each message grows with the mesh.
const CHITCHAT_SLOW: usize = 100;

struct Arguments {
    sizes: Vec<usize>,
    seeds: u64,
    chitchat_max: usize,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        sizes: vec![30, 100, 300],
        seeds: 3,
        chitchat_max: 300,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--sizes" => {
                let text = value()?;
                let sizes = text.split(',').map(|size| {
                    let size = size
                        .parse()
                        .ok()
                        .filter(|size| (10..=10_000).contains(size));
                    size.ok_or_else(|| format!("--sizes {text}: write numbers from 10 to 10000"))
                });
                arguments.sizes = sizes.collect::<Result<_, _>>()?;
            }
            "--seeds" => {
                let text = value()?;
                let seeds = text.parse().ok().filter(|seeds| (1..=100).contains(seeds));
                arguments.seeds =
                    seeds.ok_or_else(|| format!("--seeds {text}: write a number from 1 to 100"))?;
            }
            "--chitchat-up-to" => {
                let text = value()?;
                let max = text.parse();
                arguments.chitchat_max =
                    max.map_err(|_| format!("--chitchat-up-to {text} is not a valid number"))?;
            }
            _ => return Err(format!("{word}?\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    for nodes in &arguments.sizes {
        let seeds = arguments.seeds;
        let ours = measure(*nodes, seeds, &|course, seed| {
            modelled::run(&phalanx_sim::mesh::MESH, course, seed, &["records"])
        })?;
        let foca = measure(*nodes, seeds, &|course, seed| {
            modelled::run(&swim::FOCA, course, seed, &["update"])
        })?;
        let slow = if *nodes >= CHITCHAT_SLOW { 1 } else { seeds };
        let chitchat =
            (*nodes <= arguments.chitchat_max).then(|| measure(*nodes, slow, &scuttlebutt::run));
        let others: [(&str, Option<Figures>); 2] =
            [("foca", Some(foca)), ("chitchat", chitchat.transpose()?)];
        println!("{}\n", table::table(*nodes, &ours, &others));
    }
    Ok(())
}

fn main() -> ExitCode {
    let done = arguments(std::env::args().skip(1)).and_then(|arguments| compare(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("phalanx-sim-peers: {why}");
            ExitCode::from(2)
        }
    }
}
