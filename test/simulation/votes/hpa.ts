// The rules of the Kubernetes Horizontal Pod Autoscaler as its documentation states them, for one metric that is averaged over
// the ready pods: desired = ceil(current × value ÷ target), nothing within a tolerance of 0.1, every 15 s, scaling down to the
// highest wish of the last 5 minutes, up by at most 4 pods or 100 % (whichever is more) in 15 s. Pods that are not ready yet
// count as using nothing when it scales up. Source: kubernetes.io, "Horizontal Pod Autoscaling", algorithm details and
// default behavior. Apart: a peer, not a part of the product.
import type { Scaler } from './day.ts';
import { STEP_S } from './traffic.ts';

const TOLERANCE = 0.1;
const DOWN_WINDOW_S = 300;
const UP_PODS = 4;

export function makeHpa({ min, max, target }: { min: number; max: number; target: number }): Scaler {
  const wishes: { step: number; size: number }[] = [];
  return ({ step, wanted, ready, booting }) => {
    const sum = ready.reduce((total, { busy }) => total + busy, 0);
    const mean = sum / Math.max(1, ready.length);
    let ratio = mean / target;
    // With pods that are not ready the mean is taken again with them at nothing; if that turns the decision, nothing is done.
    if (ratio > 1 && booting.length > 0) ratio = Math.max(1, sum / (ready.length + booting.length) / target);
    const count = ratio > 1 ? ready.length + booting.length : ready.length;
    const desired = Math.abs(ratio - 1) <= TOLERANCE ? wanted : Math.ceil(count * ratio);
    const bounded = Math.min(max, Math.max(min, desired));
    wishes.push({ step, size: bounded });
    while ((wishes[0]?.step ?? step) < step - DOWN_WINDOW_S / STEP_S) wishes.shift();
    if (bounded >= wanted) return Math.min(bounded, Math.max(wanted + UP_PODS, wanted * 2));
    return Math.min(wanted, Math.max(...wishes.map(({ size }) => size)));
  };
}
