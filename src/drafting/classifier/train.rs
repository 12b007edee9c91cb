//! Training: dual coordinate descent for each category against the rest (Hsieh et al. 2008, squared hinge), the
//! temperature on held-out folds.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use super::{
    Classifier, ClassifierError, Example, features,
    garble::{Dice, garble},
    metrics::softmax,
};

/// Everything that decides what comes out besides the rows.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// Weight of errors against simplicity.
    pub cost: f32,
    /// Passes over the rows.
    pub passes: usize,
    /// Texts an n-gram has to stand in.
    pub least: usize,
    /// Sound-alike copies of each text.
    pub copies: usize,
    /// Characters of a copy that are replaced, of 100.
    pub garbled: usize,
    /// Adds what callers say around any matter: greetings, numbers, thanks.
    pub speech: bool,
    /// Parts for finding the temperature.
    pub folds: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self { cost: 1.0, passes: 12, least: 2, copies: 1, garbled: 15, speech: false, folds: 4 }
    }
}

impl Training {
    /// For a city's line: few short sentences, telephone speech.
    pub fn speech() -> Self {
        Self { speech: true, copies: 2, least: 3, passes: 10, folds: 3, ..Self::default() }
    }
}

/// What callers say whatever they call about.
const AROUND: [(&str, &str); 6] = [
    ("你好，", "，麻烦你们尽快处理一下，我的电话是幺三八，零零六三，五五二幺。"),
    ("喂，你好，我想反映一个问题，", "，已经好几天了，没有人管，希望能尽快解决，谢谢你。"),
    ("您好，我是这个小区的居民，", "，我姓王，电话是幺五零，六三五幺，二二零八。"),
    ("我住在三号楼一单元，", "，给他们打过电话了，一直没有人来。"),
    ("你好，我们村里，", "，家里有老人和孩子，你们快点来人看看吧。"),
    ("我想说一下，", "，就用这个号码联系我就行。"),
];

type Row = Vec<(usize, f32)>;

/// Rows in the form the descent works on; the last column is a constant.
struct Table {
    rows: Vec<Row>,
    truth: Vec<usize>,
    columns: usize,
}

impl Classifier {
    /// Learns from labelled texts. Same examples and settings, same model.
    pub fn train(examples: &[Example], training: &Training) -> Result<Self, ClassifierError> {
        let names: BTreeSet<&str> = examples.iter().map(|example| example.category.as_str()).collect();
        if names.len() < 2 {
            return Err(ClassifierError::Examples(format!("{} categories, at least 2 are needed", names.len())));
        }
        let temperature = temperature(examples, training);
        let mut model = fit(examples, training);
        model.temperature = temperature;
        Ok(model)
    }
}

fn fit(examples: &[Example], training: &Training) -> Classifier {
    let texts = texts(examples, training);
    let names: BTreeSet<&str> = examples.iter().map(|example| example.category.as_str()).collect();
    let categories: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let counted: Vec<Vec<(u32, f32)>> = texts.iter().map(|(text, _)| features::count(text)).collect();
    let mut frequency: BTreeMap<u32, usize> = BTreeMap::new();
    for (key, _) in counted.iter().flatten() {
        *frequency.entry(*key).or_default() += 1;
    }
    frequency.retain(|_, df| *df >= training.least);
    let keys: Vec<u32> = frequency.keys().copied().collect();
    let rarity: Vec<f32> = frequency.values().map(|df| features::rarity(texts.len(), *df)).collect();
    let mut rows = Vec::with_capacity(counted.len());
    for counts in &counted {
        let mut row: Row = counts
            .iter()
            .filter_map(|(key, weight)| keys.binary_search(key).ok().map(|column| (column, weight * rarity[column])))
            .collect();
        features::normalise(&mut row);
        row.push((keys.len(), 1.0));
        rows.push(row);
    }
    let truth = texts
        .iter()
        .map(|(_, category)| categories.binary_search_by(|name| name.as_str().cmp(category)).unwrap_or(0))
        .collect();
    let table = Table { rows, truth, columns: keys.len() + 1 };
    let width = categories.len();
    let solved = solve_all(&table, width, training);
    let mut weights = vec![0.0; keys.len() * width];
    let mut bias = vec![0.0; width];
    for (category, solution) in solved.iter().enumerate() {
        for (column, weight) in solution[..keys.len()].iter().enumerate() {
            weights[column * width + category] = half::f16::from_f32(*weight).to_f32();
        }
        bias[category] = solution[keys.len()];
    }
    Classifier { categories, bias, temperature: 1.0, keys, rarity, weights }
}

/// The texts with their copies.
fn texts<'a>(examples: &'a [Example], training: &Training) -> Vec<(String, &'a str)> {
    let mut texts: Vec<(String, &str)> = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let category = example.category.as_str();
        texts.push((example.text.clone(), category));
        let mut spoken = example.text.clone();
        if training.speech {
            let (before, after) = AROUND[index % AROUND.len()];
            spoken = format!("{before}{spoken}{after}");
            texts.push((spoken.clone(), category));
        }
        for copy in 0..training.copies {
            let seed = (index as u64) << 8 | copy as u64;
            let source = if copy % 2 == 0 { &example.text } else { &spoken };
            texts.push((garble(source, training.garbled, seed), category));
        }
    }
    texts
}

/// One category after the other, on as many threads as the machine has; the order of work decides nothing.
fn solve_all(table: &Table, width: usize, training: &Training) -> Vec<Vec<f32>> {
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16);
    let mut solved: Vec<Vec<f32>> = vec![Vec::new(); width];
    thread::scope(|scope| {
        for (part, slots) in solved.chunks_mut(width.div_ceil(workers)).enumerate() {
            let first = part * width.div_ceil(workers);
            scope.spawn(move || {
                for (offset, slot) in slots.iter_mut().enumerate() {
                    *slot = solve(table, first + offset, training);
                }
            });
        }
    });
    solved
}

fn solve(table: &Table, category: usize, training: &Training) -> Vec<f32> {
    let mut weights = vec![0.0_f32; table.columns];
    let mut duals = vec![0.0_f32; table.rows.len()];
    let slack = 0.5 / training.cost;
    let lengths: Vec<f32> =
        table.rows.iter().map(|row| row.iter().map(|(_, value)| value * value).sum::<f32>() + slack).collect();
    let mut order: Vec<usize> = (0..table.rows.len()).collect();
    let mut dice = Dice::new(category as u64);
    for _ in 0..training.passes {
        for last in (1..order.len()).rev() {
            order.swap(last, dice.below(last + 1));
        }
        for &index in &order {
            let sign = if table.truth[index] == category { 1.0 } else { -1.0 };
            let row = &table.rows[index];
            let margin: f32 = row.iter().map(|(column, value)| weights[*column] * value).sum();
            let gradient = sign * margin - 1.0 + duals[index] * slack;
            let dual = (duals[index] - gradient / lengths[index]).max(0.0);
            let step = (dual - duals[index]) * sign;
            if step.abs() > 1e-6 {
                duals[index] = dual;
                for (column, value) in row {
                    weights[*column] += step * value;
                }
            }
        }
    }
    weights
}

/// The temperature at which held-out rows have the likeliest probabilities, to three decimals.
fn temperature(examples: &[Example], training: &Training) -> f32 {
    let folds = training.folds.max(2);
    let fold_of = |index: usize, example: &Example| {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let own = index.to_string();
        for byte in example.group.as_deref().unwrap_or(&own).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        usize::try_from((hash >> 20) % folds as u64).unwrap_or(0)
    };
    let mut held: Vec<(Vec<f32>, usize)> = Vec::new();
    for fold in 0..folds {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for (index, example) in examples.iter().enumerate() {
            if fold_of(index, example) == fold { outside.push(example) } else { inside.push(example.clone()) }
        }
        if inside.is_empty() || outside.is_empty() {
            continue;
        }
        let model = fit(&inside, training);
        for example in outside {
            if let Ok(truth) = model.categories.binary_search(&example.category) {
                held.push((model.margins(&model.vector(&example.text)), truth));
            }
        }
    }
    let loss = |thousandths: u16| -> f64 {
        let temperature = f32::from(thousandths) / 1000.0;
        held.iter().map(|(margins, truth)| -f64::from(softmax(margins, temperature)[*truth].max(1e-9)).ln()).sum()
    };
    let mut best = (f64::INFINITY, 300_u16);
    for thousandths in (40..=2000).step_by(10) {
        let here = loss(thousandths);
        if here < best.0 {
            best = (here, thousandths);
        }
    }
    f32::from(best.1) / 1000.0
}
