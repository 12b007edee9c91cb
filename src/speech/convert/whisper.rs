//! Whisper weights from CTranslate2's file to whisper.cpp's: the map of names, and which tensors keep full precision.

use super::{
    ct2::{Model, Number},
    ggml::{self, Kind},
    mel, vocabulary,
};
use crate::speech::SpeechError;

/// How the large matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::speech) enum Precision {
    F16,
    /// 8 bits in blocks of 32 with a common scale.
    Q8_0,
}

/// Converts a model.
///
/// * `model` — CTranslate2's `model.bin` (binary version 6, f16 weights).
/// * `tokens` — its `vocabulary.txt`.
/// * returns — a whisper.cpp model file.
pub(in crate::speech) fn convert(model: &[u8], tokens: &[u8], precision: Precision) -> Result<Vec<u8>, SpeechError> {
    let capacity = model.len().min(1 << 32) + (4 << 20);
    let model = Model::parse(model)?;
    let (tokens, token_count) = vocabulary::read(tokens)?;
    if model.scalar("decoder/scale_embeddings")? != 0 || model.scalar("decoder/pre_norm")? != 1 {
        return Err(SpeechError::format("model.bin", "its embeddings are scaled or its norms come last"));
    }
    let mut writer = Writer { model: &model, precision, out: Vec::with_capacity(capacity) };
    let sizes = Sizes::of(&model, token_count)?;
    writer.header(&sizes)?;
    vocabulary::write(&tokens, &mut writer.out);
    writer.encoder(&sizes)?;
    writer.decoder(&sizes)?;
    Ok(writer.out)
}

/// The model's dimensions, read off its tensors.
struct Sizes {
    vocabulary: usize,
    audio_context: usize,
    audio_heads: usize,
    audio_layers: usize,
    text_context: usize,
    text_heads: usize,
    text_layers: usize,
    /// Width of both sides.
    width: usize,
}

impl Sizes {
    fn of(model: &Model<'_>, token_count: usize) -> Result<Self, SpeechError> {
        let shape = |name: &str| match *model.get(name)?.shape {
            [rows, columns] => Ok((rows, columns)),
            _ => Err(SpeechError::format("model.bin", format!("{name} is not a matrix"))),
        };
        let heads = |name: &str| {
            usize::try_from(model.scalar(name)?).map_err(|_| SpeechError::format("model.bin", "heads are negative"))
        };
        let (vocabulary, width) = shape("decoder/embeddings/weight")?;
        if vocabulary != token_count || width == 0 || width % 32 != 0 {
            let problem = format!("{vocabulary} embeddings of {width} for {token_count} tokens");
            return Err(SpeechError::format("model.bin", problem));
        }
        Ok(Self {
            vocabulary,
            audio_context: shape("encoder/position_encodings/encodings")?.0,
            audio_heads: heads("encoder/num_heads")?,
            audio_layers: model.layers("encoder"),
            text_context: shape("decoder/position_encodings/encodings")?.0,
            text_heads: heads("decoder/num_heads")?,
            text_layers: model.layers("decoder"),
            width,
        })
    }
}

struct Writer<'a> {
    model: &'a Model<'a>,
    precision: Precision,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn header(&mut self, sizes: &Sizes) -> Result<(), SpeechError> {
        self.out.extend(ggml::MAGIC.to_le_bytes());
        let precision = match self.precision {
            Precision::F16 => 1,
            // Quantisation version 2 × 1000 + 7.
            Precision::Q8_0 => 2007,
        };
        for value in [
            sizes.vocabulary,
            sizes.audio_context,
            sizes.width,
            sizes.audio_heads,
            sizes.audio_layers,
            sizes.text_context,
            sizes.width,
            sizes.text_heads,
            sizes.text_layers,
            mel::BANDS,
            precision,
            mel::BANDS,
            mel::BINS,
        ] {
            ggml::number(&mut self.out, value)?;
        }
        self.out.extend(mel::filters().into_iter().flat_map(f32::to_le_bytes));
        Ok(())
    }

    fn encoder(&mut self, sizes: &Sizes) -> Result<(), SpeechError> {
        let width = sizes.width;
        let positions = "encoder/position_encodings/encodings";
        self.full("encoder.positional_embedding", positions, &[sizes.audio_context, width])?;
        for (conv, inputs) in [("conv1", mel::BANDS), ("conv2", width)] {
            self.weight(&format!("encoder.{conv}.weight"), &format!("encoder/{conv}/weight"), &[width, inputs, 3])?;
            let (name, from) = (format!("encoder.{conv}.bias"), format!("encoder/{conv}/bias"));
            self.rows(&name, &from, (&[width], &[width, 1]), 0, Kind::F32)?;
        }
        for layer in 0..sizes.audio_layers {
            let (block, from) = (format!("encoder.blocks.{layer}"), format!("encoder/layer_{layer}"));
            self.norm(&format!("{block}.attn_ln"), &format!("{from}/self_attention/layer_norm"), width)?;
            self.self_attention(&block, &from, width)?;
            self.perceptron(&block, &from, width)?;
        }
        self.norm("encoder.ln_post", "encoder/layer_norm", width)
    }

    fn decoder(&mut self, sizes: &Sizes) -> Result<(), SpeechError> {
        let width = sizes.width;
        let positions = "decoder/position_encodings/encodings";
        self.full("decoder.positional_embedding", positions, &[sizes.text_context, width])?;
        let embeddings = [sizes.vocabulary, width];
        self.weight("decoder.token_embedding.weight", "decoder/embeddings/weight", &embeddings)?;
        for layer in 0..sizes.text_layers {
            let (block, from) = (format!("decoder.blocks.{layer}"), format!("decoder/layer_{layer}"));
            self.norm(&format!("{block}.attn_ln"), &format!("{from}/self_attention/layer_norm"), width)?;
            self.self_attention(&block, &from, width)?;
            self.norm(&format!("{block}.cross_attn_ln"), &format!("{from}/attention/layer_norm"), width)?;
            self.cross_attention(&block, &from, width)?;
            self.perceptron(&block, &from, width)?;
        }
        self.norm("decoder.ln", "decoder/layer_norm", width)
    }

    /// Query, key and value lie one under another in `linear_0`.
    fn self_attention(&mut self, block: &str, from: &str, width: usize) -> Result<(), SpeechError> {
        let source = format!("{from}/self_attention/linear_0");
        self.slice(&format!("{block}.attn.query"), &source, width, (0, 3), true)?;
        self.slice(&format!("{block}.attn.key"), &source, width, (1, 3), false)?;
        self.slice(&format!("{block}.attn.value"), &source, width, (2, 3), true)?;
        self.slice(&format!("{block}.attn.out"), &format!("{from}/self_attention/linear_1"), width, (0, 1), true)
    }

    /// The query is `linear_0`; key and value lie one under the other in `linear_1`.
    fn cross_attention(&mut self, block: &str, from: &str, width: usize) -> Result<(), SpeechError> {
        let source = format!("{from}/attention/linear_1");
        self.slice(&format!("{block}.cross_attn.query"), &format!("{from}/attention/linear_0"), width, (0, 1), true)?;
        self.slice(&format!("{block}.cross_attn.key"), &source, width, (0, 2), false)?;
        self.slice(&format!("{block}.cross_attn.value"), &source, width, (1, 2), true)?;
        self.slice(&format!("{block}.cross_attn.out"), &format!("{from}/attention/linear_2"), width, (0, 1), true)
    }

    fn perceptron(&mut self, block: &str, from: &str, width: usize) -> Result<(), SpeechError> {
        self.norm(&format!("{block}.mlp_ln"), &format!("{from}/ffn/layer_norm"), width)?;
        for (name, linear, rows, columns) in [("0", "linear_0", 4 * width, width), ("2", "linear_1", width, 4 * width)]
        {
            let from = format!("{from}/ffn/{linear}");
            self.weight(&format!("{block}.mlp.{name}.weight"), &format!("{from}/weight"), &[rows, columns])?;
            self.full(&format!("{block}.mlp.{name}.bias"), &format!("{from}/bias"), &[rows])?;
        }
        Ok(())
    }

    fn norm(&mut self, name: &str, from: &str, width: usize) -> Result<(), SpeechError> {
        self.full(&format!("{name}.weight"), &format!("{from}/gamma"), &[width])?;
        self.full(&format!("{name}.bias"), &format!("{from}/beta"), &[width])
    }

    /// Part `index` of `count` square parts of a linear layer; a key's bias must be zero and is dropped.
    fn slice(
        &mut self,
        name: &str,
        from: &str,
        width: usize,
        (index, count): (usize, usize),
        bias: bool,
    ) -> Result<(), SpeechError> {
        let matrix: (&[usize], &[usize]) = (&[count * width, width], &[width, width]);
        let kind = self.matrix_kind(2);
        self.rows(&format!("{name}.weight"), &format!("{from}/weight"), matrix, index * width * width, kind)?;
        let from = format!("{from}/bias");
        let vector: (&[usize], &[usize]) = (&[count * width], &[width]);
        if bias {
            return self.rows(&format!("{name}.bias"), &from, vector, index * width, Kind::F32);
        }
        let dropped = part(self.model, &from, vector, index * width)?;
        if dropped.chunks_exact(2).any(|half| half[0] != 0 || half[1] & 0x7f != 0) {
            return Err(SpeechError::format("model.bin", format!("{from} gives keys a bias")));
        }
        Ok(())
    }

    fn weight(&mut self, name: &str, from: &str, shape: &[usize]) -> Result<(), SpeechError> {
        let kind = self.matrix_kind(shape.len());
        self.rows(name, from, (shape, shape), 0, kind)
    }

    fn full(&mut self, name: &str, from: &str, shape: &[usize]) -> Result<(), SpeechError> {
        self.rows(name, from, (shape, shape), 0, Kind::F32)
    }

    const fn matrix_kind(&self, rank: usize) -> Kind {
        match self.precision {
            Precision::Q8_0 if rank == 2 => Kind::Q8_0,
            _ => Kind::F16,
        }
    }

    /// Writes the part of `from` (of shape `shapes.0`) that begins at value `first` as a tensor of shape `shapes.1`.
    fn rows(
        &mut self,
        name: &str,
        from: &str,
        shapes: (&[usize], &[usize]),
        first: usize,
        kind: Kind,
    ) -> Result<(), SpeechError> {
        let data = part(self.model, from, shapes, first)?;
        ggml::tensor(&mut self.out, name, shapes.1, kind, data)
    }
}

fn part<'a>(
    model: &Model<'a>,
    from: &str,
    (whole, wanted): (&[usize], &[usize]),
    first: usize,
) -> Result<&'a [u8], SpeechError> {
    let variable = model.get(from)?;
    let wrong = |problem: &str| SpeechError::format("model.bin", format!("{from} {problem}"));
    if variable.number != Number::F16 {
        return Err(wrong("is not of 16-bit floats"));
    }
    // A convolution's bias is a vector there and a column here.
    if variable.shape != whole {
        return Err(wrong(&format!("has the shape {:?}, not {whole:?}", variable.shape)));
    }
    let count: usize = wanted.iter().product();
    variable.data.get(2 * first..2 * (first + count)).ok_or_else(|| wrong("is too short"))
}
