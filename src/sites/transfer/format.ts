// What an exported site is as one file: a tar archive of a manifest, the site's own document, its database and its files, in this
// order. The manifest has the checksum of each part, so that all is looked at before anything is believed.
import { z } from 'zod';
import { siteLimits } from '../../protocol/site-document.ts';

export const FORMAT = 'espalier-site';
/** Raised when an older controller could no longer read what is written. */
export const FORMAT_VERSION = 1;

export const PART_NAMES = ['site.json', 'database.sql.zst', 'files.tar'] as const;
export type PartName = (typeof PART_NAMES)[number];
export const MANIFEST = 'manifest.json';
/** A manifest or a site's document is some KiB; ten thousand tasks fit. */
export const LARGEST_DOCUMENT = 16 * 2 ** 20;

const part = z.object({
  name: z.enum(PART_NAMES),
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Part = z.infer<typeof part>;

export const manifestSchema = z.object({
  format: z.literal(FORMAT),
  version: z.int().min(1),
  createdAt: z.string(),
  by: z.string().describe('The program that wrote it'),
  parts: z.array(part).length(PART_NAMES.length),
});
export type Manifest = z.infer<typeof manifestSchema>;

const jsonValue: z.ZodType<z.core.util.JSONType> = z.json();

export const carriedSiteSchema = z.object({
  name: z.string(),
  app: z.string(),
  /** Of the image whose code wrote the tables. */
  image: z.object({ number: z.int(), appVersion: z.string() }),
  title: z.string().min(1).max(200),
  adminUser: z.string(),
  adminEmail: z.string(),
  hosts: z.array(z.string()).min(1),
  /** Its hosts as its links name them, with and without a port. */
  links: z.array(z.string()),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  limits: siteLimits,
  /** Those without which its data cannot be read. */
  secrets: z.record(z.string(), z.string()),
  tasks: z.array(jsonValue),
});
export type CarriedSite = z.infer<typeof carriedSiteSchema>;
