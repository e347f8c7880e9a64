/**
 * The words that the glossary has replaced (docs/glossary.md has the ones that stay). `words.ts` looks for them in documents,
 * in the help and in every text that the program can show.
 *
 * Not in the list, because only a reader can tell: "look" and "record" (probe, collect, snapshot), "well" as a verdict
 * (healthy), "key" without saying which one, "slot" of a container's name (a slot of the fleet lock stays), "silent" of
 * anything but a disk.
 */
export interface Word {
  /** How the list of what is left names it. */
  readonly name: string;
  readonly pattern: RegExp;
  readonly instead: string;
  /** Where the word is right, and why. */
  readonly except?: readonly Exception[];
}

export interface Exception {
  /** Files; left out: all. */
  readonly in?: RegExp;
  /** What stands around the word in its line; left out: anything. */
  readonly text?: RegExp;
  readonly why: string;
}

const upstream: Exception = {
  in: /^docs\/reference\//,
  why: 'these pages describe what upstream did, and name it so',
};

/** Exceptions for every word. */
export const everywhere: readonly Exception[] = [
  { in: /^CHANGELOG\.md$/, text: /^\s*- renamed: /, why: 'a list of renamed members names both words' },
  {
    in: /^src\/host\/files\/status\.ts$/,
    text: /^(?:ping-pong|settle|storage-silent)$/,
    why: 'the words of version 0.1, whose status file is still read',
  },
];

export const words: readonly Word[] = [
  { name: 'in office', pattern: /\boffice\b/gi, instead: 'active' },
  { name: 'acts', pattern: /\bacts\b/gi, instead: 'is active' },
  { name: 'in charge', pattern: /\bin charge\b/gi, instead: 'active' },
  { name: 'bell', pattern: /\bbells?\b|\brung\b|hangBell/gi, instead: 'promotion, waitForPromotion' },
  {
    name: 'stand by',
    pattern: /\b(?:stands?|standing|stood)[ -]by\b|\bstand_by\b/gi,
    instead: 'standby, on standby',
  },
  {
    name: 'settle',
    pattern: /\bsettl(?:es?|ed|ing)\b/gi,
    instead: 'reconcile',
    except: [{ text: /promise|never settles?|dockerode/i, why: 'a promise settles: that is its own word' }],
  },
  {
    name: 'going back',
    pattern: /\bgoing back\b|\bway back\b|\bturn(?:s|ed|ing)? back\b/gi,
    instead: 'roll back, rollback',
  },
  { name: 'set aside', pattern: /\bset(?:s|ting)?[ -]aside\b|\bpool of names\b/gi, instead: 'park, parked' },
  { name: 'corpse', pattern: /\bcorpses?\b|_corpses\b/gi, instead: 'unremovable container; dead' },
  { name: 'condemned', pattern: /\bcondemned\b/gi, instead: 'removal started' },
  { name: 'ours', pattern: /\bours\b/gi, instead: 'managed container; hardened agent, hardened image' },
  {
    name: 'stranger',
    pattern: /\bstrangers?\b|\bforeign\b/gi,
    instead: 'unmanaged container',
    except: [
      {
        in: /^docs\/development\/control-plane-faults\.md$/,
        why: 'a certificate of an authority that nobody here knows, no container',
      },
    ],
  },
  { name: 'innocent', pattern: /\binnocen(?:t|ce)\b/gi, instead: 'not a leak' },
  { name: 'judge', pattern: /\bjudge[sd]?\b|\bjudg(?:ing|e?ment)\b/gi, instead: 'classify' },
  { name: 'fate', pattern: /\bfates?\b/gi, instead: 'RemovalResult; state' },
  {
    name: 'old script',
    pattern: /\bold(?:er)? (?:way|scripts?|entrypoints?)\b|\bold-entrypoint\b/gi,
    instead: 'legacy entrypoint',
  },
  { name: "upstream's", pattern: /\bupstream's\b/gi, instead: 'legacy entrypoint', except: [upstream] },
  { name: 'keeper', pattern: /\bkeepers?\b/gi, instead: 'agent restarter' },
  {
    name: 'quarrel',
    pattern: /\bquarrels?\b|\bping-pong\b|\bPING_PONG|\bin turn\b/gi,
    instead: 'flapping requirement; alternately',
  },
  { name: 'family', pattern: /\bfamil(?:y|ies)\b/gi, instead: 'profile' },
  {
    name: 'said',
    pattern: /\bsaid\b|\b(?:own|engine's|server's) words\b/gi,
    instead: 'message, engineMessage',
    except: [
      { text: /our own words/i, why: 'a promise that nothing was copied' },
      { text: /unless said|than said/i, why: 'about the page itself' },
    ],
  },
  { name: 'examine', pattern: /\bexamin(?:es?|ed|ing)\b/gi, instead: 'probe, collect' },
  {
    name: 'sick',
    pattern: /\bsick\b|\bin trouble\b/gi,
    instead: 'unhealthy',
  },
  {
    name: 'silent disk',
    pattern: /\bsilent disk\b|\bdisk-silent\b|\bstorage-silent\b/gi,
    instead: 'unresponsive disk',
  },
  { name: 'cooling down', pattern: /\bcooling down\b/gi, instead: 'back-off' },
  {
    name: 'made',
    pattern: /\bma(?:kes|de)\b/gi,
    instead: 'creates, created',
    except: [{ text: /makes? sure|made (?:of|from) the table/i, why: 'nothing is created' }],
  },
  {
    name: 'ended',
    pattern: /\bend(?:s|ed)\b/gi,
    instead: 'exits, exited',
    except: [
      {
        text: /ends? (?:in|with) `|LF line ends|`docker run` ends/i,
        why: 'a text or a line ends, no process',
      },
    ],
  },
  { name: 'told', pattern: /\bto(?:ld)\b|\btells?\b/gi, instead: 'reports, was given; name the actor' },
  { name: 'of late', pattern: /\bof late\b/gi, instead: 'recently' },
  { name: 'anew', pattern: /\banew\b/gi, instead: 'again' },
  { name: 'by itself', pattern: /\bby (?:itself|themselves)\b/gi, instead: 'automatically' },
  { name: 'whoever', pattern: /\bwho(?:m|so)?ever\b/gi, instead: 'name the actor' },
  {
    name: 'bound',
    pattern: /\bbound(?:s|ed)?\b/gi,
    instead: 'limit, limited; timeout',
    except: [{ text: /bound (?:from|to|on)\b/i, why: 'a mount is bound from a path' }],
  },
  { name: 'twelve digits', pattern: /\btwelve digits\b/gi, instead: 'short id' },
  {
    name: 'contraction',
    pattern:
      /\b(?:can|don|doesn|isn|won|aren|wasn|weren|didn|hasn|haven|hadn|couldn|wouldn|shouldn)['’]t\b|\b(?:it|that|there|what)['’]s\b/gi,
    instead: 'cannot, do not, is not, it is',
  },
];
