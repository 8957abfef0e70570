// Makes every call with the client that @hey-api/openapi-ts generated, and prints the answers.
//
// Usage: node calls.js URL ROWS, with rows of the model `stamp` in JSON.

import {
  anomalyScore, decode, denoise, describeModel, encode, healthz, listErrors, listModels, readyz,
  reconstruct, sample, showMetrics, showReport, version,
} from './client';
import { client } from './client/client.gen';
import type { InputsRequest, ReconstructResponses } from './client';

declare const process: { argv: string[]; stdout: { write(text: string): void } };

const MODEL = 'stamp';

async function main(): Promise<void> {
  client.setConfig({ baseUrl: process.argv[2], throwOnError: true });
  const rows: number[][] = JSON.parse(process.argv[3]);
  const body: InputsRequest = { inputs: rows, model: MODEL, ids: ['a', 2] };

  const codes = (await encode<true>({ body })).data;
  const numbers = (await encode<true>({
    // Bytes: the generator's types know the body in JSON alone.
    body: new Float32Array(rows.flat()) as unknown as InputsRequest,
    bodySerializer: null,
    headers: { 'Content-Type': 'application/octet-stream' },
    query: { model: MODEL },
  })).data;
  const array = await reconstruct<true>({
    body, headers: { Accept: 'application/x-npy' }, parseAs: 'arrayBuffer',
  });
  const picture = await reconstruct<true>({
    body, headers: { Accept: 'image/png' }, parseAs: 'arrayBuffer',
  });
  const unknown = await encode({ body: { ...body, model: 'stomp' }, throwOnError: false });
  const answers = {
    encode: codes,
    encode_numbers: numbers,
    decode: (await decode<true>({ body: { codes: codes.codes, model: MODEL } })).data,
    reconstruct: (await reconstruct<true>({ body })).data satisfies ReconstructResponses[200],
    denoise: (await denoise<true>({ body })).data,
    anomaly_score: (await anomalyScore<true>({
      body: { inputs: rows, model: MODEL, false_positive_rate: 0.05 },
    })).data,
    sample: (await sample<true>({
      body: { count: 2, seed: 9, temperature: 0.5, model: MODEL },
    })).data,
    list_models: (await listModels<true>()).data,
    describe_model: (await describeModel<true>({ path: { name: MODEL } })).data,
    healthz: (await healthz<true>()).data,
    readyz: (await readyz<true>()).data,
    version: (await version<true>()).data,
    unknown_model: unknown.error,
    show_report: (await showReport<true>({ path: { name: MODEL } })).data,
    show_metrics: (await showMetrics<true>()).data,
    list_errors: (await listErrors<true>()).data,
    array: firstBytes(array.data),
    picture: firstBytes(picture.data),
  };
  process.stdout.write(JSON.stringify(answers));
}

function firstBytes(data: unknown): number[] {
  return Array.from(new Uint8Array(data as ArrayBuffer).slice(0, 6));
}

void main();
