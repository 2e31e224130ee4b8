/** What an operator decides about a server. */
import { z } from '../preset/zod.ts';
import { keyVariableName } from '../preset/server-options.ts';

export const serveOptions = {
  modelName: z.string().min(1).max(200).default('reasongen').describe('what requests call the model'),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('address to listen on; beyond this machine (0.0.0.0) a token is demanded'),
  port: z.int().min(0).max(65_535).default(8760).describe('port to listen on; 0 takes any that is free'),
  tokenVariable: keyVariableName
    .default('REASONGEN_SERVE_TOKEN')
    .describe('environment variable with the token that is demanded of whoever asks (Authorization: Bearer)'),
  answers: z.int().min(1).max(64).default(4).describe('answers written at a time; further ones wait'),
  answerTokens: z.int().min(1).default(1024).describe('longest answer in tokens'),
  questionTokens: z
    .int()
    .min(1)
    .default(1024)
    .describe('longest conversation in tokens, its layout included, its pictures not'),
  pictures: z.int().min(0).max(64).default(2).describe('most pictures of a conversation'),
  drawings: z.int().min(1).max(64).default(4).describe('pictures drawn at a time; further ones wait'),
  promptTokens: z.int().min(1).default(320).describe('longest prompt of a picture in tokens, special tokens included'),
  choices: z.int().min(1).max(64).default(8).describe('most answers, or pictures, of one request (n)'),
  waiting: z
    .int()
    .min(0)
    .default(64)
    .describe('answers, and likewise pictures, that may wait; more are refused with 429'),
  requestSeconds: z.number().positive().max(86_400).default(600).describe('longest time of a request'),
  graceSeconds: z
    .number()
    .min(0)
    .max(3600)
    .default(30)
    .describe('how long a server that is told to stop goes on with what it has taken on'),
  bodyBytes: z
    .int()
    .min(1024)
    .max(2 ** 30)
    .default(32 * 2 ** 20)
    .describe('largest body of a request in bytes, and largest file of a picture that is fetched'),
  pixels: z
    .int()
    .min(1)
    .max(178_956_970)
    .default(2 ** 24)
    .describe('pixels of the largest picture that is read'),
  pictureHosts: z
    .array(z.string().regex(/^[a-z\d.-]+(:\d{1,5})?$|^\[[\da-f:]+\](:\d{1,5})?$/, 'host or host:port in small letters'))
    .default([])
    .describe('hosts (host, or host:port) that pictures named by an address are fetched from; none unless told'),
};

export type ServeChoice = { readonly [Name in keyof typeof serveOptions]: z.output<(typeof serveOptions)[Name]> };
