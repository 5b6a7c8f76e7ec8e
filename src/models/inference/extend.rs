//! A whole model, and its passes.

use std::sync::{Arc, OnceLock};

use super::workspace::{Row, Workspace, room};
use super::{Block, Embedding, Recurrent, RecurrentBlock, Sequence, Stack};
use crate::kernels::inference::{Attended, Panels, Screen, Target, rows};
use crate::models::ModelConfig;

/// A model laid out for inference on the CPU.
#[derive(Clone, Debug)]
pub struct Inference {
    pub(super) config: ModelConfig,
    parameters: usize,
    network: Network,
    /// Of the output layer, once it is worth it.
    pub(super) screen: Arc<OnceLock<Option<Screen>>>,
}

/// From rows of tokens to rows that the output layer reads.
#[derive(Clone, Debug)]
pub(in crate::models) struct Network {
    pub(in crate::models) embedding: Embedding,
    pub(in crate::models) decoder: Decoder,
    /// What reads a source, where there is one.
    pub(in crate::models) encoder: Option<Stack>,
    pub(in crate::models) output: Panels,
    /// What the rows before the output layer are multiplied by.
    pub(in crate::models) output_scale: f32,
}

/// What writes.
#[derive(Clone, Debug)]
pub(in crate::models) enum Decoder {
    Attention(Stack),
    Recurrent(Recurrent),
}

/// Tokens that follow in a sequence.
#[derive(Debug)]
pub struct Feed<'a> {
    /// The sequence; it takes the tokens in.
    pub sequence: &'a mut Sequence,
    /// At least one.
    pub tokens: &'a [u32],
    /// Whether the logits after the last of them are wanted.
    pub wanted: bool,
}

/// The bytes of what [`Inference::expect_likeliest`] lays out for a model.
pub fn screen_bytes(config: &ModelConfig) -> usize {
    Screen::bytes_of(config.width, config.vocab_size)
}

impl Network {
    /// A decoder of attention blocks by itself.
    pub(in crate::models) fn decoder_only(embedding: Embedding, stack: Stack, output: Panels) -> Self {
        Self {
            embedding,
            decoder: Decoder::Attention(stack),
            encoder: None,
            output,
            output_scale: 1.0,
        }
    }
}

impl Inference {
    pub(in crate::models) fn new(config: &ModelConfig, parameters: usize, network: Network) -> Self {
        Self {
            config: config.clone(),
            parameters,
            network,
            screen: Arc::default(),
        }
    }

    /// The number of its weights' elements; a tied output layer counts once.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// An empty sequence for up to `capacity` tokens (of a decoder: its own), which follows a source
    /// where the model has an encoder.
    ///
    /// # Panics
    /// When a model with an encoder is given no source, or one without is.
    pub fn sequence(&self, capacity: usize, source: &[u32], work: &mut Workspace) -> Sequence {
        let source = self.source(source, work);
        match &self.network.decoder {
            Decoder::Attention(stack) => Sequence::attention(stack.blocks.len(), stack.heads, capacity, source),
            Decoder::Recurrent(recurrent) => {
                Sequence::recurrent(recurrent.blocks.len(), recurrent.cell, self.config.width, capacity)
            }
        }
    }

    /// The same in the memory of one that is no longer needed.
    ///
    /// # Panics
    /// As [`Self::sequence`].
    pub fn restart(&self, sequence: &mut Sequence, source: &[u32], work: &mut Workspace) {
        let source = self.source(source, work);
        sequence.restart(source);
    }

    /// The keys and values of a source, if there is one.
    fn source(&self, source: &[u32], work: &mut Workspace) -> Arc<[Attended]> {
        match (&self.network.encoder, &self.network.decoder) {
            (Some(encoder), Decoder::Attention(stack)) if !source.is_empty() => self.read(encoder, stack, source, work),
            (None, _) if source.is_empty() => [].into(),
            _ => panic!("a source is for an encoder"),
        }
    }

    /// The bytes of the weights that each pass reads.
    pub fn weight_bytes(&self) -> usize {
        let layers: usize = match &self.network.decoder {
            Decoder::Attention(stack) => stack.blocks.iter().map(Block::bytes).sum(),
            Decoder::Recurrent(recurrent) => {
                let bytes = |block: &RecurrentBlock| block.input.bytes() + block.recurrent.bytes();
                recurrent.blocks.iter().map(bytes).sum()
            }
        };
        layers + self.network.output.bytes()
    }

    /// The bytes of a sequence of so many tokens, its source not counted.
    pub fn bytes(&self, capacity: usize) -> usize {
        let floats = match &self.network.decoder {
            Decoder::Attention(stack) => {
                let width = stack.heads.width;
                stack.blocks.len() * stack.heads.key_value * capacity * (width + width.next_multiple_of(16))
            }
            Decoder::Recurrent(recurrent) => 2 * recurrent.blocks.len() * self.config.width,
        };
        4 * floats
    }

    /// Takes some sequences further in one pass: the logits after the last token of each that wants
    /// them, `[wanted, vocabulary]`.
    ///
    /// # Panics
    /// When a token is not in the vocabulary, or a sequence or the context has no room: callers
    /// count tokens first.
    pub fn extend<'w>(&self, feeds: &mut [Feed<'_>], work: &'w mut Workspace) -> &'w mut [f32] {
        let wanted = self.advance(feeds, work);
        let Workspace { normal, logits, .. } = work;
        let ready = room(normal, wanted * self.config.width);
        let logits = room(logits, wanted * self.config.vocab_size);
        self.network.output.multiply(ready, logits, Target::Replace);
        logits
    }

    /// The same for whoever takes the likeliest token, the first of equal ones: that of each that wants
    /// one; and the logits of those that it is not given for, which are to be looked at: `[those, vocabulary]`.
    /// Such are all whose largest logit is not a finite number, and maybe others.
    ///
    /// # Panics
    /// As [`Self::extend`].
    pub fn extend_to_likeliest<'w>(
        &self,
        feeds: &mut [Feed<'_>],
        work: &'w mut Workspace,
    ) -> (&'w [Option<u32>], &'w mut [f32]) {
        let wanted = self.advance(feeds, work);
        let width = self.config.width;
        let Workspace {
            normal,
            last,
            logits,
            tokens,
            finding,
            screening,
            ..
        } = work;
        let ready = room(normal, wanted * width);
        let output = &self.network.output;
        tokens.clear();
        tokens.resize(wanted, None);
        match self.screen.get() {
            Some(Some(screen)) if screening.pays() => screen.likeliest(output, ready, tokens, screening),
            _ => output.likeliest(ready, tokens, finding),
        }
        let open = tokens.iter().filter(|token| token.is_none()).count();
        let rows = room(last, open * width);
        let looked_at = tokens.iter().zip(ready.chunks_exact(width));
        let looked_at = looked_at.filter(|(token, _)| token.is_none());
        for (row, (_, ready)) in rows.chunks_exact_mut(width).zip(looked_at) {
            row.copy_from_slice(ready);
        }
        let logits = room(logits, open * self.config.vocab_size);
        output.multiply(rows, logits, Target::Replace);
        (tokens, logits)
    }

    /// Lays the output layer out once more for [`Self::extend_to_likeliest`], where the processor and its size
    /// make that worth it for so many tokens. What is written does not depend on it.
    pub fn expect_likeliest(&self, tokens: usize) {
        /// What laying it out takes is saved by so many.
        const WORTH: usize = 128;
        if tokens >= WORTH {
            self.screen.get_or_init(|| Screen::of(&self.network.output));
        }
    }

    /// Takes the sequences further; what the output layer reads of those that want it is then in `work.normal`,
    /// and there are so many.
    fn advance(&self, feeds: &mut [Feed<'_>], work: &mut Workspace) -> usize {
        let width = self.config.width;
        work.rows.clear();
        for (number, feed) in feeds.iter().enumerate() {
            assert!(!feed.tokens.is_empty(), "a sequence is taken further by tokens");
            let total = feed.sequence.length + feed.tokens.len();
            let room = self.config.context.min(feed.sequence.capacity);
            assert!(total <= room, "{total} tokens where {room} fit");
            work.rows
                .extend((feed.sequence.length..).zip(feed.tokens).map(|(position, &token)| Row {
                    feed: number,
                    position,
                    token,
                }));
        }
        self.embed(work);
        match &self.network.decoder {
            Decoder::Attention(stack) => stack.forward(feeds, work, width),
            Decoder::Recurrent(recurrent) => recurrent.forward(feeds, work, width),
        }
        for feed in feeds.iter_mut() {
            feed.sequence.length += feed.tokens.len();
        }
        let Workspace {
            x,
            normal,
            last,
            rows: order,
            ..
        } = work;
        let wanted = feeds.iter().filter(|feed| feed.wanted).count();
        let last = room(last, wanted * width);
        let mut kept = last.chunks_exact_mut(width);
        for (row, place) in order.iter().enumerate() {
            let ends = order.get(row + 1).is_none_or(|next| next.feed != place.feed);
            if ends && feeds[place.feed].wanted {
                let kept = kept.next().expect("a place for each that is wanted");
                kept.copy_from_slice(&x[row * width..][..width]);
            }
        }
        let ready = room(normal, wanted * width);
        match &self.network.decoder {
            Decoder::Attention(stack) => stack.finish(last, ready),
            Decoder::Recurrent(_) => ready.copy_from_slice(last),
        }
        if self.network.output_scale != 1.0 {
            rows::scale(ready, self.network.output_scale);
        }
        wanted
    }

    /// The vectors of the rows' tokens, into `work.x`.
    fn embed(&self, work: &mut Workspace) {
        let width = self.config.width;
        let x = room(&mut work.x, work.rows.len() * width);
        for (row, into) in work.rows.iter().zip(x.chunks_exact_mut(width)) {
            let Network { embedding, output, .. } = &self.network;
            embedding.row(row.token, row.position, output, into);
        }
    }

    /// The keys and values of a source for each layer of the decoder.
    fn read(&self, encoder: &Stack, decoder: &Stack, source: &[u32], work: &mut Workspace) -> Arc<[Attended]> {
        let width = self.config.width;
        work.rows.clear();
        work.rows
            .extend(source.iter().enumerate().map(|(position, &token)| Row {
                feed: 0,
                position,
                token,
            }));
        self.embed(work);
        let mut sequence = Sequence::attention(1, encoder.heads, source.len(), [].into());
        let mut feed = [Feed {
            sequence: &mut sequence,
            tokens: source,
            wanted: false,
        }];
        encoder.forward(&mut feed, work, width);
        let Workspace { x, normal, packed, .. } = work;
        let encoded = room(normal, source.len() * width);
        encoder.finish(&x[..source.len() * width], encoded);
        let layers = decoder.blocks.iter().map(|block| {
            let cross = block.cross.as_ref().expect("a decoder attends to its encoder");
            let both = cross.keys_values.outputs();
            let rows = room(packed, source.len() * both);
            cross.keys_values.multiply(encoded, rows, Target::Replace);
            let mut attended = Attended::new(decoder.heads, source.len());
            for row in rows.chunks_exact(both) {
                let (keys, values) = row.split_at(both / 2);
                attended.push(keys, values);
            }
            attended
        });
        layers.collect()
    }
}
