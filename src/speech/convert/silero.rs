//! The voice detector's weights from safetensors to the file whisper.cpp's detector loads.

use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::ggml::{self, Kind};
use crate::speech::SpeechError;

/// Encoder layers: inputs, outputs, kernel.
const LAYERS: [[usize; 3]; 4] = [[129, 128, 3], [128, 64, 3], [64, 64, 3], [64, 128, 3]];

/// * `weights` — `silero_vad_16k.safetensors`, all f32.
/// * returns — whisper.cpp's file.
pub(in crate::speech) fn convert(weights: &[u8]) -> Result<Vec<u8>, SpeechError> {
    let tensors = SafeTensors::deserialize(weights)
        .map_err(|error| SpeechError::format("silero_vad_16k.safetensors", error.to_string()))?;
    let mut out = Vec::with_capacity(weights.len());
    header(&mut out)?;
    for (index, [inputs, outputs, kernel]) in LAYERS.into_iter().enumerate() {
        let (name, from) = (format!("_model.encoder.{index}.reparam_conv"), format!("conv{}", index + 1));
        let shape = [outputs, inputs, kernel];
        tensor(&mut out, &tensors, (&format!("{name}.weight"), &shape), &format!("{from}.weight"), Kind::F16)?;
        tensor(&mut out, &tensors, (&format!("{name}.bias"), &[outputs]), &format!("{from}.bias"), Kind::F32)?;
    }
    for part in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
        let shape: &[usize] = if part.starts_with("weight") { &[512, 128] } else { &[512] };
        let name = format!("_model.decoder.rnn.{part}");
        tensor(&mut out, &tensors, (&name, shape), &format!("lstm_cell.{part}"), Kind::F32)?;
    }
    tensor(&mut out, &tensors, ("_model.decoder.decoder.2.weight", &[128]), "final_conv.weight", Kind::F16)?;
    tensor(&mut out, &tensors, ("_model.decoder.decoder.2.bias", &[]), "final_conv.bias", Kind::F32)?;
    tensor(&mut out, &tensors, ("_model.stft.forward_basis_buffer", &[258, 1, 256]), "stft_conv.weight", Kind::F16)?;
    Ok(out)
}

fn header(out: &mut Vec<u8>) -> Result<(), SpeechError> {
    let kind = "silero-16k";
    out.extend(ggml::MAGIC.to_le_bytes());
    ggml::number(out, kind.len())?;
    out.extend(kind.as_bytes());
    // Version, then window and context in samples, then the layers.
    for value in [6, 2, 3, 512, 64, LAYERS.len()].into_iter().chain(LAYERS.into_iter().flatten()) {
        ggml::number(out, value)?;
    }
    // LSTM in and hidden, last convolution in and out.
    for value in [128, 128, 128, 1] {
        ggml::number(out, value)?;
    }
    Ok(())
}

fn tensor(
    out: &mut Vec<u8>,
    tensors: &SafeTensors<'_>,
    (name, shape): (&str, &[usize]),
    from: &str,
    kind: Kind,
) -> Result<(), SpeechError> {
    let wrong = |problem: String| SpeechError::format("silero_vad_16k.safetensors", format!("{from}: {problem}"));
    let view = tensors.tensor(from).map_err(|error| wrong(error.to_string()))?;
    let values: usize = shape.iter().product();
    if view.dtype() != Dtype::F32 || view.data().len() != 4 * values {
        return Err(wrong(format!("{:?} {:?} instead of f32 {shape:?}", view.dtype(), view.shape())));
    }
    ggml::head(out, name, shape, kind)?;
    if kind == Kind::F32 {
        out.extend(view.data());
    } else {
        let halves = view.data().chunks_exact(4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]);
        out.extend(halves.flat_map(|bytes| f16::from_f32(f32::from_le_bytes(bytes)).to_le_bytes()));
    }
    Ok(())
}
