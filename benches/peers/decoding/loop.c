/* A llama that writes greedily, as plain loops: what a program without any library does.
 *
 *   gcc -O3 -march=native -o loop loop.c -lm
 *   ./loop weights.bin TOKENS
 *
 * weights.bin is made by compare.py: eight int32 (layers, heads, key/value heads, head width, width, inner
 * width, vocabulary, context), two float32 (theta, epsilon), then float32 arrays in this order: embedding
 * [vocabulary][width] (also the output layer); of each layer norm, q, k, v, o, norm, gate, up, down
 * (matrices [out][in]); the last norm.
 *
 * Prints one line of JSON: the tokens a second of the best of five rounds after a warm one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    const float *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down;
} Layer;

static int layers, heads, kv_heads, head, width, inner, vocabulary, context;
static float theta, epsilon;
static const float *embedding, *last_norm;
static Layer *layer;

static float *x, *normal, *queries, *mixed, *gates, *ups, *scores, *logits, *keys, *values;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void product(float *out, const float *in, const float *w, int outputs, int inputs) {
    for (int i = 0; i < outputs; i++) {
        float sum = 0;
        for (int j = 0; j < inputs; j++) sum += w[i * inputs + j] * in[j];
        out[i] = sum;
    }
}

static void norm(float *out, const float *in, const float *weight) {
    float sum = 0;
    for (int i = 0; i < width; i++) sum += in[i] * in[i];
    float scale = 1.0f / sqrtf(sum / width + epsilon);
    for (int i = 0; i < width; i++) out[i] = in[i] * scale * weight[i];
}

static void turn(float *row, int count, int position) {
    int half = head / 2;
    for (int h = 0; h < count; h++)
        for (int i = 0; i < half; i++) {
            float angle = position * (1.0f / powf(theta, 2.0f * i / head));
            float c = cosf(angle), s = sinf(angle), *a = row + h * head + i, *b = a + half, first = *a;
            *a = first * c - *b * s;
            *b = *b * c + first * s;
        }
}

static int step(int token, int position) {
    int kv = kv_heads * head;
    memcpy(x, embedding + (size_t)token * width, width * sizeof *x);
    for (int l = 0; l < layers; l++) {
        Layer *w = &layer[l];
        float *k = keys + ((size_t)l * context + position) * kv, *v = values + ((size_t)l * context + position) * kv;
        norm(normal, x, w->norm1);
        product(queries, normal, w->q, heads * head, width);
        product(k, normal, w->k, kv, width);
        product(v, normal, w->v, kv, width);
        turn(queries, heads, position);
        turn(k, kv_heads, position);
        for (int h = 0; h < heads; h++) {
            int at = h / (heads / kv_heads) * head;
            float largest = -INFINITY, sum = 0;
            for (int p = 0; p <= position; p++) {
                const float *key = keys + ((size_t)l * context + p) * kv + at;
                float score = 0;
                for (int i = 0; i < head; i++) score += queries[h * head + i] * key[i];
                scores[p] = score / sqrtf(head);
                if (scores[p] > largest) largest = scores[p];
            }
            for (int p = 0; p <= position; p++) sum += scores[p] = expf(scores[p] - largest);
            float *out = mixed + h * head;
            for (int i = 0; i < head; i++) out[i] = 0;
            for (int p = 0; p <= position; p++) {
                const float *value = values + ((size_t)l * context + p) * kv + at;
                float share = scores[p] / sum;
                for (int i = 0; i < head; i++) out[i] += share * value[i];
            }
        }
        product(normal, mixed, w->o, width, heads * head);
        for (int i = 0; i < width; i++) x[i] += normal[i];
        norm(normal, x, w->norm2);
        product(gates, normal, w->gate, inner, width);
        product(ups, normal, w->up, inner, width);
        for (int i = 0; i < inner; i++) gates[i] = gates[i] / (1.0f + expf(-gates[i])) * ups[i];
        product(normal, gates, w->down, width, inner);
        for (int i = 0; i < width; i++) x[i] += normal[i];
    }
    norm(normal, x, last_norm);
    product(logits, normal, embedding, vocabulary, width);
    int best = 0;
    for (int i = 1; i < vocabulary; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static float *room(size_t count) {
    float *values = calloc(count, sizeof(float));
    if (!values) exit(1);
    return values;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "loop weights.bin TOKENS\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    float *data = malloc(size);
    if (!data || fread(data, 1, size, file) != (size_t)size) return 1;
    fclose(file);
    int *header = (int *)data, tokens = atoi(argv[2]);
    layers = header[0], heads = header[1], kv_heads = header[2], head = header[3], width = header[4];
    inner = header[5], vocabulary = header[6], context = header[7];
    theta = data[8], epsilon = data[9];
    const float *next = data + 10;
    embedding = next, next += (size_t)vocabulary * width;
    layer = calloc(layers, sizeof *layer);
    for (int l = 0; l < layers; l++) {
        Layer *w = &layer[l];
        w->norm1 = next, next += width;
        w->q = next, next += (size_t)heads * head * width;
        w->k = next, next += (size_t)kv_heads * head * width;
        w->v = next, next += (size_t)kv_heads * head * width;
        w->o = next, next += (size_t)width * heads * head;
        w->norm2 = next, next += width;
        w->gate = next, next += (size_t)inner * width;
        w->up = next, next += (size_t)inner * width;
        w->down = next, next += (size_t)width * inner;
    }
    last_norm = next, next += width;
    if ((char *)next != (char *)data + size || tokens < 1 || tokens >= context) return 1;
    x = room(width), normal = room(width), queries = room(heads * head), mixed = room(heads * head);
    gates = room(inner), ups = room(inner), scores = room(context), logits = room(vocabulary);
    keys = room((size_t)layers * context * kv_heads * head), values = room((size_t)layers * context * kv_heads * head);

    double best = INFINITY;
    unsigned long long digest = 0;
    for (int round = 0; round < 6; round++) {
        double start = now();
        int token = 1;
        digest = 7;
        for (int position = 0; position < tokens; position++) {
            token = step(token, position);
            digest = (digest * 31 + token) % 1000000007ULL;
        }
        double seconds = now() - start;
        if (round > 0 && seconds < best) best = seconds;
    }
    printf("{\"task\": \"greedy\", \"tokens_per_second\": %.1f, \"seconds\": %.6f, \"digest\": %llu}\n", tokens / best, best,
           digest);
    return 0;
}
