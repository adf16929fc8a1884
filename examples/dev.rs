#![allow(warnings)]
use nixdag::plan::{model::*, problem::*, partition::*, simulate::*};
use nixdag::plan::partition::{jobs::*, zero::*, sweep::*, schedule::*, contract::*};
pub fn load(f: &str) -> Problem {
    let t = std::fs::read_to_string(f).unwrap();
    let mut l = t.lines(); let _n: usize = l.next().unwrap().parse().unwrap();
    let mut p = Problem::default(); let mut ins = vec![];
    for x in l { let mut f = x.split(' ');
        p.duration.push(f.next().unwrap().parse().unwrap());
        p.cheap.push(f.next().unwrap() == "1");
        p.target.push(f.next().unwrap() == "1");
        p.system.push(f.next().unwrap().parse().unwrap());
        p.floating.push(false);
        p.name_rank.push(f.next().unwrap().parse().unwrap());
        f.next();
        ins.push(f.filter(|x| !x.is_empty()).map(|x| x.parse().unwrap()).collect());
    }
    p.inputs = Adjacency::from_lists(ins); p.consumers = p.inputs.reversed(); p
}
pub fn cpu() -> f64 { let mut t: libc::timespec = unsafe { std::mem::zeroed() }; unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t); } t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9 }
fn main() {
    for s in std::env::args().skip(1) {
        let p = load(&format!("/tmp/pl/{s}.txt"));
        let m = Model::default();
        let lb = lower_bound(&p, &m);
        let c = cpu();
        let (u, notes) = contract(&p, &m);
        println!("{s} n {} lb {} units {} edges {} contract {:.2}s {:?}", p.len(), lb/1000, u.len(), u.inputs.edges(), cpu()-c, notes);
        let o = Options { granularity: Granularity::Auto, reserve: Some(0.0), ..Default::default() };
        let g = Ground { problem: &p, units: &u, model: &m, options: &o, start_up: m.start_up };
        let mut sch = Scheduler::new(&p);
        for order in [EdgeOrder::FromStart, EdgeOrder::FromEnd, EdgeOrder::ShortestFirst, EdgeOrder::Shuffled(1), EdgeOrder::Shuffled(2)] {
            let c = cpu();
            let mut j = Jobs::singletons(&g, &mut sch);
            let (_, m0) = j.measure(&g);
            let mk = zero(&g, &mut sch, &mut j, Zeroing { order, choices: 5, enough: 0, moves: 100000 });
            println!(" zero {order:?} {} -> {} total {} jobs {} {:.2}s", m0/1000, mk/1000, j.total()/1000, j.count(), cpu()-c);
            let mut marks = Marks::default();
            for f in [1.0, 1.05, 1.15, 1.5, 2.0] {
                let c = cpu();
                let mut k = j.clone();
                let mut st = Steps(10_000_000_000);
                let mut rounds = vec![];
                for r in 0..6 {
                    k.measure_for(&g, (mk as f64 * f) as u64);
                    let v: Vec<_> = alive(&k).collect();
                    let direction = if r % 2 == 0 { Direction::Forward } else { Direction::Backward };
                    let n = sweep(&g, &mut sch, &mut k, &mut marks, &v, Sweep { direction, reserve: 0.0, exact: 8, window: 24 }, &mut st);
                    rounds.push(n);
                    if n * 250 < v.len() { break; }
                }
                let cc = cpu() - c;
                let part = emit(&p, &u, &k);
                if f == 2.0 {
                    let sumw: u64 = k.list.iter().map(|j| j.work).sum();
                    println!("      work/4 {} startups {}", sumw/4000, 45*part.jobs.len());
                    k.measure_for(&g, (mk as f64 * f) as u64);
                    let al: Vec<_> = alive(&k).collect();
                    let (mut time, mut path, mut save, mut good, mut tot) = (0,0,0,0,0);
                    let mut bestsave = 0i64;
                    for (x, &a) in al.iter().enumerate() { for &b in &al[x+1..] { tot += 1;
                        if !k.compatible(&g, a, b) { continue; }
                        let (a, b) = if k.list[a as usize].earliest <= k.list[b as usize].earliest { (a,b) } else {(b,a)};
                        if k.path_between(&g, &mut marks, a, b) || k.path_between(&g, &mut marks, b, a) { path += 1; continue; }
                        let un = k.union(&g, &mut sch, a, b);
                        let sv = (k.list[a as usize].length + k.list[b as usize].length) as i64 - un.length as i64;
                        if sv <= 0 { save += 1; continue; }
                        let (i, c) = k.around(&g, &mut marks, &[a, b]);
                        let st = i.iter().map(|&j| k.list[j as usize].earliest_end()).max().unwrap_or(0);
                        let en = c.iter().map(|&j| k.list[j as usize].latest).min().unwrap_or(k.deadline as i64);
                        if (st + un.length) as i64 > en { time += 1; continue; }
                        good += 1; bestsave = bestsave.max(sv);
                    } }
                    println!("      pairs {tot} path {path} nosave {save} time {time} good {good} best {bestsave}");
                }
                let sim = simulate(&p, &part, &m);
                println!("   f {f} jobs {} makespan {} total {}  rounds {:?} {:.2}s steps {}M", part.jobs.len(), sim.makespan/1000, sim.job_time/1000, rounds, cc, (10_000_000_000 - st.0)/1_000_000);
            }
        }
    }
}
