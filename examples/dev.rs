#![allow(warnings)]
use nixdag::plan::partition::{contract::*, jobs::*, schedule::*, sweep::*, zero::*};
use nixdag::plan::{model::*, partition::*, problem::*, simulate::*};
pub fn load(f: &str) -> Problem {
    let t = std::fs::read_to_string(f).unwrap();
    let mut l = t.lines();
    let _n: usize = l.next().unwrap().parse().unwrap();
    let mut p = Problem::default();
    let mut ins = vec![];
    for x in l {
        let mut f = x.split(' ');
        p.duration.push(f.next().unwrap().parse().unwrap());
        p.cheap.push(f.next().unwrap() == "1");
        p.target.push(f.next().unwrap() == "1");
        p.system.push(f.next().unwrap().parse().unwrap());
        p.floating.push(false);
        p.name_rank.push(f.next().unwrap().parse().unwrap());
        f.next();
        ins.push(f.filter(|x| !x.is_empty()).map(|x| x.parse().unwrap()).collect());
    }
    p.inputs = Adjacency::from_lists(ins);
    p.consumers = p.inputs.reversed();
    p
}
pub fn cpu() -> f64 {
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t);
    }
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}
fn mixh(mut v: u64) -> u64 {
    v = v.wrapping_add(0x9e3779b97f4a7c15);
    v = (v ^ (v >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    v = (v ^ (v >> 27)).wrapping_mul(0x94d049bb133111eb);
    v ^ (v >> 31)
}
fn heavy(p: &Problem, seed: u64) -> Vec<u64> {
    (0..p.len())
        .map(|v| {
            if p.duration[v] < 60000 {
                p.duration[v]
            } else {
                let u = |k: u64| {
                    ((mixh(mixh(p.name_rank[v] as u64 ^ seed << 40) ^ k ^ (v as u64) << 20) >> 11) as f64 + 0.5)
                        / (1u64 << 53) as f64
                };
                let z = (-2.0 * u(1).ln()).sqrt() * (2.0 * std::f64::consts::PI * u(2)).cos();
                (40000.0 * (z * (30f64).ln() / 2.326).exp()) as u64
            }
        })
        .collect()
}
fn main() {
    let a: Vec<String> = std::env::args().skip(2).collect();
    let mode = std::env::args().nth(1).unwrap();
    for s in &a {
        let p = load(&format!("/tmp/pl/{s}.txt"));
        match mode.as_str() {
            "layers" => {
                for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                    for granularity in [Granularity::Auto, Granularity::Target] {
                        let o = Options { granularity, objective, reserve: Some(0.0), ..Default::default() };
                        let m0 = Model::default();
                        let m = Model { layer: 500, ..Model::default() };
                        let blind = nixdag::plan::partition::partition(&p, &m0, &o);
                        let c = cpu();
                        let plan = nixdag::plan::partition::partition(&p, &m, &o);
                        let c1 = cpu() - c;
                        for (n, pl) in [("blind", &blind), ("aware", &plan)] {
                            let sim = simulate(&p, &pl.partition, &m);
                            println!(
                                "{s} {granularity:?} {objective:?} {n} {} / {} jobs {} layers {} cpu {:.2}",
                                sim.makespan / 1000,
                                sim.job_time / 1000,
                                pl.partition.jobs.len(),
                                sim.layers,
                                c1
                            );
                        }
                    }
                }
            }
            "show1" => {
                for granularity in [Granularity::Auto, Granularity::Target] {
                    for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                        let m = Model::default();
                        let o = Options { granularity, objective, reserve: Some(0.0), ..Default::default() };
                        let c = cpu();
                        let plan = nixdag::plan::partition::partition(&p, &m, &o);
                        let c1 = cpu() - c;
                        let sim = simulate(&p, &plan.partition, &m);
                        println!(
                            "{s} {granularity:?} {objective:?} {} / {} jobs {} layers {} cpu {:.2} {:?}",
                            sim.makespan / 1000,
                            sim.job_time / 1000,
                            plan.partition.jobs.len(),
                            sim.layers,
                            c1,
                            plan.notes
                        );
                    }
                }
            }
            "reserve" => {
                for k in [0.0, 1.0, 3.0, 6.0, 10.0, 20.0] {
                    for objective in [Objective::Time, Objective::Balanced] {
                        let m = Model::default();
                        let guess = Options {
                            granularity: Granularity::Auto,
                            objective,
                            reserve: Some(k),
                            ..Default::default()
                        };
                        let plan = nixdag::plan::partition::partition(&p, &m, &guess);
                        let (mut r, mut j, mut pd) = (0.0, 0.0, 0.0);
                        for seed in 1..=5 {
                            let mut q = p.clone();
                            q.duration = heavy(&p, seed);
                            let lb = lower_bound(&q, &m) as f64;
                            let sim = simulate(&q, &plan.partition, &m);
                            r += sim.makespan as f64 / lb / 5.0;
                            j += sim.job_time as f64 / 5e3;
                            pd += q.duration.iter().map(|d| d + 45000).sum::<u64>() as f64 / 5e3;
                        }
                        println!(
                            "{s} {objective:?} k {k}: {r:.3} x bound, {j:.0} ({:.2} of per-derivation) jobs {}",
                            j / pd,
                            plan.partition.jobs.len()
                        );
                    }
                }
            }
            "robust" => {
                for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                    let m = Model::default();
                    let guess = Options { granularity: Granularity::Auto, objective, ..Default::default() };
                    let plan = nixdag::plan::partition::partition(&p, &m, &guess);
                    let tight =
                        nixdag::plan::partition::partition(&p, &m, &Options { reserve: Some(0.0), ..guess.clone() });
                    let (mut r, mut rt, mut rk, mut j, mut pd, mut jk) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
                    for seed in 1..=5 {
                        let mut q = p.clone();
                        q.duration = heavy(&p, seed);
                        let lb = lower_bound(&q, &m) as f64;
                        let sim = simulate(&q, &plan.partition, &m);
                        let st = simulate(&q, &tight.partition, &m);
                        r += sim.makespan as f64 / lb / 5.0;
                        rt += st.makespan as f64 / lb / 5.0;
                        j += sim.job_time as f64 / 5e3;
                        pd += q.duration.iter().map(|d| d + 45000).sum::<u64>() as f64 / 5e3;
                        if seed < 3 {
                            let known = nixdag::plan::partition::partition(
                                &q,
                                &m,
                                &Options { durations_recorded: true, ..guess.clone() },
                            );
                            let sk = simulate(&q, &known.partition, &m);
                            rk += sk.makespan as f64 / lb / 2.0;
                            jk += sk.job_time as f64 / 2e3;
                        }
                    }
                    println!(
                        "{s} {objective:?} unknown: {r:.3} x bound, {j:.0} ({:.2} of per-derivation), without reserve {rt:.3}; known {rk:.3} x, {jk:.0}",
                        j / pd
                    );
                }
            }
            "stable" => {
                for granularity in [Granularity::Target, Granularity::Auto] {
                    for objective in [Objective::Balanced] {
                        let m = Model::default();
                        let o = Options { granularity, objective, ..Default::default() };
                        let a = nixdag::plan::partition::partition(&p, &m, &o);
                        // an unrelated target: a chain of `k` new nodes put first/middle, renumbering all
                        for (k, at) in [(1usize, 0usize), (3, p.len() / 2)] {
                            let map: Vec<u32> =
                                (0..p.len()).map(|v| if v < at { v as u32 } else { (v + k) as u32 }).collect();
                            let mut q = Problem::default();
                            let mut ins = vec![];
                            for v in 0..p.len() + k {
                                let old = if v < at {
                                    Some(v)
                                } else if v < at + k {
                                    None
                                } else {
                                    Some(v - k)
                                };
                                match old {
                                    Some(o) => {
                                        q.duration.push(p.duration[o]);
                                        q.cheap.push(p.cheap[o]);
                                        q.target.push(p.target[o]);
                                        q.system.push(p.system[o]);
                                        q.floating.push(false);
                                        q.name_rank.push(p.name_rank[o]);
                                        ins.push(p.inputs.of(o as u32).iter().map(|&i| map[i as usize]).collect())
                                    }
                                    None => {
                                        q.duration.push(60000);
                                        q.cheap.push(false);
                                        q.target.push(v == at + k - 1);
                                        q.system.push(0);
                                        q.floating.push(false);
                                        q.name_rank.push(0);
                                        ins.push(if v == at { vec![] } else { vec![v as u32 - 1] })
                                    }
                                }
                            }
                            q.inputs = Adjacency::from_lists(ins);
                            q.consumers = q.inputs.reversed();
                            let b = nixdag::plan::partition::partition(&q, &m, &o);
                            let old: std::collections::HashSet<Vec<u32>> =
                                b.partition.jobs.iter().map(|j| j.owned.clone()).collect();
                            let same = a
                                .partition
                                .jobs
                                .iter()
                                .filter(|j| old.contains(&j.owned.iter().map(|&v| map[v as usize]).collect::<Vec<_>>()))
                                .count();
                            println!(
                                "{s} {granularity:?} {objective:?} added {k} at {at}: {same} of {} same",
                                a.partition.jobs.len()
                            );
                        }
                    }
                }
            }
            _ => {
                let m = Model::default();
                for granularity in [Granularity::Target, Granularity::Auto] {
                    for objective in [Objective::Time, Objective::Balanced, Objective::Cost] {
                        let o = Options {
                            granularity,
                            objective,
                            limits: Limits {
                                jobs: mode.parse().ok(),
                                requires: Some(500),
                                job_length: Some(5 * 3600_000),
                            },
                            ..Default::default()
                        };
                        let c = cpu();
                        let plan = nixdag::plan::partition::partition(&p, &m, &o);
                        let c1 = cpu() - c;
                        let sim = simulate(&p, &plan.partition, &m);
                        println!(
                            "{s} {granularity:?} {objective:?} {} / {} jobs {} layers {} cpu {:.2} sim {:.2} {:?}",
                            sim.makespan / 1000,
                            sim.job_time / 1000,
                            plan.partition.jobs.len(),
                            sim.layers,
                            c1,
                            cpu() - c - c1,
                            plan.notes
                        );
                    }
                }
            }
        }
    }
}
