import numpy as np,time,sys
G=np.load('graph.npz');V=np.load('events.npz');emb=np.load('emb.npy')
A=V['A'];src,dst,indptr=G['src'],G['dst'],G['indptr'];E=len(src);N=len(indptr)-1
u,e,tgt,pid,sp,fold,fin,final,depth,backs=A.T
st=V['stack'].astype(int);start=V['start']
X=emb-emb.mean(0);U,S_,Vt=np.linalg.svd(X,full_matrices=False);X=X@Vt[:64].T;X/=np.linalg.norm(X,axis=1,keepdims=True);X=np.vstack([X,np.zeros((1,64))]).astype(np.float32)
base=(sp<8)&(final==0)
npair=np.bincount(pid[base],minlength=pid.max()+1)
indeg=np.bincount(dst,minlength=N)
def hist(g):
    h=np.zeros((len(u),64),np.float32)
    for k in range(1,6): h+=g**(k-1)*X[st[:,-1-k]]
    n=np.linalg.norm(h,axis=1,keepdims=True); return h/np.maximum(n,1e-6)
ev=(sp==8)&(final==0)
ev=np.flatnonzero(ev); rng=np.random.default_rng(0); ev=rng.choice(ev,6000,replace=False)
o=np.argsort(u[base],kind='stable');tj=np.flatnonzero(base)[o];us=u[tj]
def run(g,tau,kap,wp):
    h=hist(g);w0=1/np.maximum(npair[pid],1)**wp
    # prior: lift
    rr=np.zeros(len(ev))
    for page in np.unique(u[ev]):
        J=tj[np.searchsorted(us,page):np.searchsorted(us,page,side='right')]; I=np.flatnonzero(u[ev]==page)
        s=slice(indptr[page],indptr[page+1]);d=s.stop-s.start
        pri=indeg[dst[s]]/indeg[dst[s]].sum()
        if len(J)==0: 
            sc=np.tile(pri,(len(I),1))
        else:
            m1=np.bincount(e[J]-indptr[page],weights=w0[J],minlength=d);m1=(m1+2*pri)/(w0[J].sum()+2)
            W=np.exp((h[ev[I]]@h[J].T)*tau)*w0[J]/np.exp(tau)*(1 if True else 1)
            W*=((depth[ev[I]]==0)[:,None]==(depth[J]==0)[None])+0.02
            oh=np.zeros((len(J),d),np.float32);oh[np.arange(len(J)),e[J]-indptr[page]]=1
            sc=(W@oh+kap*m1)/(W.sum(1,keepdims=True)+kap)
        y=e[ev[I]]-indptr[page];sy=sc[np.arange(len(I)),y][:,None]
        r=(sc>sy).sum(1)+((sc==sy).sum(1)-1)/2; rr[I]=1/(1+r)
    f=fin[ev]==1
    return round(rr[f].mean(),4),round(rr[~f].mean(),4)
for args in [(.6,0,1,0),(.6,0,1,.5),(.6,4,.1,.5),(.6,8,.1,.5),(.4,6,.3,.5),(.6,12,.1,.5),(.8,8,.3,.5),(.6,8,.1,.75)]:
    t=time.time();print(args,run(*args),round(time.time()-t,1),flush=True)
